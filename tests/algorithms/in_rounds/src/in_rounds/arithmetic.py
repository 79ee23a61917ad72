from algotools import log


def trim(values, total):
    n, s = total.count(values), total.sum(values)
    mean = s / n
    log("the mean is known")
    sd = (total.sum((values - mean) ** 2) / (n - 1)) ** 0.5
    near = values[abs(values - mean) < sd]
    log("the standard deviation is known")
    return {"n": n, "mean": mean, "sd": sd, "trimmed": total.sum(near) / total.count(near)}
