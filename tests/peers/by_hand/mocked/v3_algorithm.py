"""The algorithm that the mocks of v3 run."""

calls = 0


def RPC_ages(data):  # noqa: N802 - the naming convention of v3
    return data["age"].tolist()


def RPC_picky(data):  # noqa: N802
    if 5 in data["age"].tolist():
        raise ValueError("on purpose")
    return "well"


def RPC_a_set(data):  # noqa: N802
    return {1, 2}


def RPC_a_tuple(data):  # noqa: N802
    return (1, 2)


def RPC_counts(data):  # noqa: N802
    global calls  # noqa: PLW0603 - the test is about globals
    calls += 1
    return calls


def RPC_spoils(data):  # noqa: N802
    data["age"] = 0
    return data["age"].tolist()


def RPC_keys(data, value):  # noqa: N802
    return [type(key).__name__ for key in value]


def central(client, data, organizations):
    task = client.task.create(input_={"method": "ages"}, organization_ids=organizations)
    return {"task": task["id"], "parent": task["parent"]}
