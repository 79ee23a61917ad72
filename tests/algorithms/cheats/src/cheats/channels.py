"""Values that leave through the log, the progress or the failure of a run. The results are harmless."""

import hashlib
import sys

import pandas as pd

from algotools import Column, UserError, errors, log, progress, rpc


class ValueTooLarge(UserError):
    text = "the largest value is {value}"
    value: float


class PatientExcluded(UserError):
    text = "patient {patient} is excluded"
    patient: str


@rpc
def log_text(data: pd.DataFrame, column: Column, name: Column) -> int:
    for row in data.nlargest(2, column).itertuples():
        log(f"check the value of {getattr(row, name)}")
    return len(data)


@rpc
def log_number(data: pd.DataFrame, column: Column) -> float:
    log(f"{column}: {data[column].count()} values, up to {data[column].max()}")
    return data[column].mean()


@rpc
def log_index(data: pd.DataFrame, column: Column, limit: float) -> float:
    """The mean without implausible values, which the log names."""
    wrong = data[column] > limit
    log(f"ignored rows: {list(data.index[wrong])}")
    return data.loc[~wrong, column].mean()


@rpc
def log_pseudonyms(data: pd.DataFrame, column: Column) -> int:
    for value in data[column]:
        log(f"processed {hashlib.md5(str(value).encode()).hexdigest()}")
    return len(data)


@rpc
def log_lines(data: pd.DataFrame, column: Column) -> int:
    """A line for each iteration; the number of iterations depends on one value."""
    for _ in range(int(data[column].max())):
        log("next iteration")
    return len(data)


@rpc
def log_choice(data: pd.DataFrame, column: Column, limit: float) -> int:
    log("at least one value is above the limit" if data[column].max() > limit else "no value is above the limit")
    return len(data)


@rpc
def log_letters(data: pd.DataFrame, column: Column) -> int:
    for letter in max(data[column]):
        log(letter)
    return len(data)


@rpc
def log_steps(data: pd.DataFrame, time: Column, event: Column) -> int:
    """Each event time of a survival curve."""
    for moment in sorted(data.loc[data[event] == 1, time]):
        log(f"risk set at {moment}")
    return len(data)


@rpc
def progress_percent(data: pd.DataFrame, column: Column) -> int:
    progress(data[column].max() / 100)
    return len(data)


@rpc
def progress_text(data: pd.DataFrame, column: Column) -> int:
    for i, text in enumerate(data[column]):
        progress(i / len(data), f"reading {text}")
    return len(data)


@rpc
def progress_steps(data: pd.DataFrame, column: Column) -> int:
    for value in data[column]:
        progress(value / 100)
    return len(data)


@rpc
def user_error_field(data: pd.DataFrame, column: Column, limit: float) -> float:
    if data[column].max() > limit:
        raise ValueTooLarge(value=data[column].max())
    return data[column].mean()


@rpc
def user_error_of_list(data: pd.DataFrame, column: Column, excluded: list[str]) -> int:
    """Fail if a patient of the list is here."""
    for name in excluded:
        if name in set(data[column]):
            raise PatientExcluded(patient=name)
    return len(data)


@rpc
def class_name(data: pd.DataFrame, column: Column) -> int:
    """Fail with a class that is named after a level."""
    raise type(data[column].iloc[2], (Exception,), {})


@rpc
def class_text(data: pd.DataFrame, column: Column) -> int:
    """Fail with a class whose text is a value."""
    raise type("MissingLevel", (UserError,), {"text": f"no {data[column].iloc[2]}"})


@rpc
def own_error(data: pd.DataFrame, column: Column) -> int:
    raise errors.OutOfMemory(f"cannot process {data[column].iloc[0]}")


@rpc
def system_exit(data: pd.DataFrame, column: Column, by: Column, patient: int) -> int:
    """Stop if a patient has no event: the table is then incomplete."""
    if not data.loc[data[by] == patient, column].all():
        sys.exit("incomplete")
    return len(data)


@rpc
def failing_line(data: pd.DataFrame, column: Column) -> int:
    """Fail at one of several lines."""
    oldest = data[column].max() // 10
    assert oldest != 4
    assert oldest != 5
    assert oldest != 6
    assert oldest != 7
    return len(data)


@rpc
def failure_kind(data: pd.DataFrame, column: Column, by: Column, patient: int) -> int:
    """Fail with one of two classes."""
    value = data.loc[data[by] == patient, column].item()
    raise [LookupError, ArithmeticError][value]


@rpc
def path_of_null(data: pd.DataFrame, column: Column) -> dict:
    """The log names the path of each NaN in a result."""
    return {"unused": [0] * int(data[column].max()) + [float("nan")]}


@rpc
def unserializable(data: pd.DataFrame, column: Column) -> list:
    """The message names the path of a value that has no JSON form."""
    return [0] * int(data[column].max()) + [object()]
