"""One fault at a time in the algorithm's code, which a child process imports: only its rule is found, with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from algotools.project.check import check

from ...conftest import ALGORITHMS, default_policy
from .conftest import add, replace

Seed = Callable[[Path], object]
SOURCE = "src/average/algorithm.py"
PACKAGE = "src/average/__init__.py"
RPC = "\n\n@rpc\ndef {}(data: pd.DataFrame{}) -> {}:\n    {}\n"


def code(text: str, file: str = SOURCE) -> Seed:
    return lambda project: add(project / file, text)


def change(old: str, new: str, file: str = SOURCE) -> Seed:
    return lambda project: replace(project / file, old, new)


def rpc(body: str, *, parameters: str = "", returns: str = "object") -> Seed:
    return code(RPC.format("more", f", {parameters}" if parameters else "", returns, body))


def both(*seeds: Seed) -> Seed:
    return lambda project: [seed(project) for seed in seeds]


def module(name: str, text: str) -> Seed:
    return lambda project: add(project / f"src/average/{name}.py", text)


FAULTS: dict[str, tuple[Seed, list[str], str]] = {
    # Importing.
    "a missing module": (change('average = "average"', 'average = "averages"', "pyproject.toml"),
                                   ["module-not-found"], "pyproject.toml"),
    "a missing submodule": (change('average = "average"', 'average = "average.main"', "pyproject.toml"),
                                      ["module-not-found"], "pyproject.toml"),
    "an entry point with an attribute": (
        change('average = "average"', 'average = "average:average"', "pyproject.toml"), ["module-not-found"],
        "pyproject.toml"),
    "a syntax error": (code("\ndef broken(:\n"), ["import-fails"], SOURCE),
    "a syntax error in a module that nothing imports": (module("more", "x = (\n"), ["import-fails"],
                                                        "src/average/more.py"),
    "an exception at import": (code("\nraise RuntimeError('no')\n"), ["import-fails"], SOURCE),
    "an exit at import": (code("\nimport sys\n\nsys.exit(0)\n"), ["import-fails"], SOURCE),
    "the process ends at import": (code("\nimport os\n\nos._exit(0)\n"), ["import-fails"], "pyproject.toml"),
    "an rpc that ends its process": (rpc("import os\n    os._exit(3)"), ["ends-process"], SOURCE),
    "a result with a value for each row": (
        both(code("policy: standard\n", "federation.yaml"), rpc("return data['age'].dropna().tolist()")),
        ["withheld"], SOURCE),
    "a forgotten return": (rpc("data['age'].sum()", returns="float"), ["result-annotation"], SOURCE),
    "a return without a value": (
        rpc("if len(data) > 5: return\n    return 1.0", returns="float"), ["result-annotation"], SOURCE),
    "a result of another kind": (rpc("return {'n': len(data)}", returns="float"), ["result-annotation"], SOURCE),
    "a column that is not requested": (
        rpc("return data[column].groupby(data['sex']).size().max()", parameters="column: Column", returns="object"),
        ["function-fails"], SOURCE),
    "a crash at import": (code("\nimport os, signal\n\nos.kill(os.getpid(), signal.SIGSEGV)\n"), ["import-fails"],
                          "pyproject.toml"),
    "a name that a module does not have": (
        change("import pandas as pd\n", "import pandas as pd\nfrom math import nothing\n"), ["import-fails"], SOURCE),
    "a missing module of the project": (code("\nfrom average import helpers\n"), ["import-fails"], SOURCE),
    "a dependency that is not installed": (
        both(change("pandas>=2.3", 'pandas>=2.3", "unheard-of', "pyproject.toml"),
             change("import pandas as pd\n", "import pandas as pd\nimport unheard_of\n")),
        ["missing-dependency"], SOURCE),
    "a dependency that is neither installed nor declared": (
        change("import pandas as pd\n", "import pandas as pd\nimport unheard_of\n"),
        ["missing-dependency", "undeclared-dependency"], SOURCE),
    "a package with the name of a standard module": (
        both(change("from average.", "from .", PACKAGE), lambda p: (p / "src/average").rename(p / "src/statistics"),
             change('average = "average"', 'average = "statistics"', "pyproject.toml")),
        ["shadows-module"], "pyproject.toml"),
    "a package with the name of a dependency of algotools": (
        both(change("from average.", "from .", PACKAGE), lambda p: (p / "src/average").rename(p / "src/msgspec"),
             change('average = "average"', 'average = "msgspec"', "pyproject.toml")),
        ["shadows-module"], "pyproject.toml"),
    "nothing decorated": (
        both(lambda p: (p / SOURCE).write_text("average = average_partial = None\n"),
             change("[tool.algotools.trial]", "[tool.other]", "pyproject.toml")), ["no-functions"], PACKAGE),
    "a module that nothing imports": (
        module("more", "from algotools import rpc\n\n\n@rpc\ndef more() -> int:\n    return 1\n"), ["not-registered"],
        "src/average/more.py"),
    "a module that nothing imports, decorated by another name": (
        module("more", "import algotools as at\n\n\n@at.rpc(name='other')\ndef more() -> int:\n    return 1\n"),
        ["not-registered"], "src/average/more.py"),
    # Declarations that end the import.
    "a name by position": (code("\n\n@rpc('other')\ndef more(data: pd.DataFrame) -> int:\n    return 1\n"),
                           ["declaration"], SOURCE),
}  # fmt: skip
"""Name of the fault -> the change, the rules and the file."""


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_only_by_its_rule(name: str, project: Path) -> None:
    seed, rules, file = FAULTS[name]
    seed(project)
    findings = check(project).findings
    assert [(f.rule, f.file) for f in findings] == [(rule, file) for rule in rules], findings
    assert str(project) not in "".join(f.reason + f.way_out for f in findings)


UNUSUAL = '''

@rpc
def arrays(data: pd.DataFrame, columns: list[Column] | None = None, weights: dict[str, float] | None = None) -> Any:
    """Values that a master receives exactly: arrays, tables, bytes, NaN."""
    try:
        import unheard_of
    except ImportError:
        unheard_of = None
    numbers = data.select_dtypes("number")
    return {"matrix": numbers.to_numpy(), "frame": numbers, "raw": b"raw", 3: float("nan"), "pair": (1, 2), "root": 2j}


@rpc
def tables(data: pd.DataFrame, column: Column) -> dict[tuple[str, float], bytes | complex]:
    counts = data.groupby([data[column], data[column].isna()]).size()
    return {(column, float("nan")): counts, pd.NaT: {(a, b): 1j for a in data for b in data}}


@rpc
def repeated(data: pd.DataFrame, column: Column) -> pd.Series:
    return pd.Series([1, 2], [column, column])


def sized(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> int:
        return len(function(*args, **kwargs))

    return call


@rpc
@sized
def unique(data: pd.DataFrame, column: Column) -> set[str]:
    return set(data[column])


@rpc
def refuses(data: pd.DataFrame, column: Column) -> list[int]:
    if column:
        raise NoValues
    result = {1, 2}
    result = sorted(result)
    return result


@rpc
def adds(data: pd.DataFrame, column: Column, by: Column = "sex") -> int:
    data["double"] = data[column] * 2
    return len(data["double"])


@rpc
def guards(data: pd.DataFrame, column: Column) -> int:
    return len(data["double"]) if "double" in data else 0


@rpc
def fails(data: pd.DataFrame) -> float:
    raise NoValues


@rpc
def may_be_empty(data: pd.DataFrame) -> float | None:
    if data.empty:
        return None
    return 1.0


@rpc
def raises(data: pd.DataFrame, column: Column) -> float:
    return 1 / len(data[:0])


@rpc
def sum(data: pd.DataFrame) -> dict[str, object]:
    set = list
    return {"names": set(data.columns), "n": [len({1}), *{2: 3}], "s": f"{ {1} }", "f": sorted({1}), "l": (lambda: 1)()}


@rpc
def bounded(data: pd.DataFrame, minimum: int, options: dict[str, int]) -> int:
    def inner():
        return {1, 2}

    return len(inner())


alias = average_partial
METHOD = "arrays"


def gather(api: AlgorithmClient, function, /, **options):
    method = "average_partial"
    api.run(METHOD), api.run(method, column_name="age"), api.run(alias, column_name="age")
    return list(api.run(function, **options))


@master
def unusual(client: AlgorithmClient, column: str, organizations: list[Organization] | None = None) -> dict[str, float]:
    options = {"column_name": column}
    one = client.run(average_partial, organizations=organizations, **options)
    two = client.run("average_partial", arguments={o: {"column_name": column} for o in client.organizations})
    three = client.run(average_partial, arguments=options, quorum=1, timeout=60)
    four = client.run(getattr(average, "nothing", average_partial), anything=1)
    five = [client.run(f, column=column) for f in (unique, refuses)]
    six = client.run(bounded, minimum=len(column), options={"a": 1})
    for client_ in (client,):
        client_.anything
    ids = [organization["id"] for organization in client.organization.list()]
    input_ = {"method": "average_partial", "kwargs": {"column_name": column}}
    tasks = [client.task.create(input_=input_, organizations=ids, name="a", description="b") for _ in ids]
    tasks.append(client.task.create({"method": bounded, "args": [len(column)], "kwargs": {"options": {}}}, ids))
    changed = {"method": "average_partial", "kwargs": {}}
    changed["kwargs"]["column_name"] = column
    tasks.append(client.task.create(changed))
    tasks.append(client.task.create(method="average_partial", arguments={"column_name": column}))
    tasks.append(client.task.create({"method": column, "args": ids, **changed}, *ids))
    eight = client.wait_for_results(tasks[0]["id"], interval=1), client.result.from_task(tasks[1]["id"])
    client.run.from_task(client.task.get(tasks[0]["id"])["id"]), client.collaboration.get(), client.databases
    if not one:
        return list(client.run(average_partial, **options))
    return {"n": float(len([*one, *two, *three, *four, *five, *six]))}


class Holder:
    def __init__(self, client: AlgorithmClient) -> None:
        self.client = client

    def ask(self):
        return self.client.run("whatever")


def other(client: "a.foreign.Client") -> None:
    client.task.create()
'''

HEAD = "import functools\nfrom collections.abc import Callable\nfrom typing import Any\n\nimport pandas as pd\n"


def test_unusual_but_valid_code_has_no_findings(project: Path) -> None:
    add(project / SOURCE, UNUSUAL)
    replace(project / SOURCE, "import pandas as pd\n", HEAD)
    report = check(project)
    assert report.findings == ()
    assert report.functions == 15


def test_a_result_that_only_a_master_can_get_is_reported_without_a_master(project: Path) -> None:
    source = (
        "import pandas as pd\n\nfrom algotools import Column, rpc\n\n\n@rpc\n"
        "def count(data: pd.DataFrame, column: Column) -> pd.Series:\n    return pd.Series([1, 2], [column, column])\n"
    )
    (project / SOURCE).write_text(source, encoding="utf-8")
    (project / PACKAGE).write_text("from average.algorithm import count as count\n", encoding="utf-8")
    findings = [finding for finding in check(project).findings if finding.rule == "result-not-serializable"]
    assert [finding.line for finding in findings] == [7]
    assert "two keys of the mapping have the same text in JSON" in findings[0].reason


def test_the_example_has_no_findings(project: Path) -> None:
    with default_policy():
        report = check(project)
    assert report.findings == ()
    assert (report.algorithm, report.functions) == ("average", 2)
    assert report.files >= 5


def test_a_withheld_result_has_path_rule_and_way_out(project: Path) -> None:
    rpc("return data['age'].tolist()")(project)
    with default_policy():
        (finding,) = check(project).findings
    assert (finding.rule, finding.file) == ("withheld", SOURCE)
    assert finding.line is not None
    assert finding.reason.startswith("more: in a trial call on north_hospital's data, ")
    assert finding.reason.endswith("(rule length)")
    assert finding.way_out
    add(project / "federation.yaml", "policy: off\n")
    with default_policy():
        assert check(project).findings == ()


def test_a_malformed_policy_of_the_federation_file_is_a_finding(project: Path) -> None:
    add(project / "federation.yaml", "policy: strickt\n")
    (finding,) = check(project).findings
    lines = (project / "federation.yaml").read_text(encoding="utf-8").splitlines()
    assert (finding.rule, finding.file, finding.line) == ("federation-file", "federation.yaml", len(lines))
    assert "unknown policy 'strickt'" in finding.reason


@pytest.mark.parametrize("name", ["survey", "flat_layout", "caged"])
def test_realistic_algorithms_have_no_findings(name: str) -> None:
    rules = {finding.rule for finding in check(ALGORITHMS / name).findings}
    assert rules <= {"no-dockerfile"}


def test_the_functions_of_an_installed_module_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loose.py").write_text("from algotools import rpc\n\n\n@rpc\ndef one() -> object:\n    return {1}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    report = check("loose")
    assert [(f.rule, f.file, f.line) for f in report.findings] == [("result-not-serializable", "loose.py", 6)]
    assert (report.algorithm, report.functions) == ("loose", 1)


def test_an_import_that_never_finishes_is_reported_with_its_line(project: Path) -> None:
    add(project / SOURCE, "\nimport time\n\nwhile True:\n    time.sleep(0.1)\n")
    (finding,) = check(project, limit=10).findings
    assert (finding.rule, finding.file) == ("import-fails", SOURCE)
    assert (finding.line or 0) >= len((project / SOURCE).read_text().splitlines()) - 1
    assert "10 s" in finding.reason


def test_a_trial_that_never_finishes_is_reported_with_its_line(project: Path) -> None:
    rpc("import time\n    while True:\n        time.sleep(0.1)")(project)
    (finding,) = check(project, limit=10).findings
    assert (finding.rule, finding.file) == ("never-finishes", SOURCE)
    assert (finding.line or 0) >= len((project / SOURCE).read_text().splitlines()) - 1
    assert finding.reason == "more: in a trial call on north_hospital's data, it did not finish within 10 s"


def test_a_trial_in_compiled_code_that_never_finishes_is_reported(project: Path) -> None:
    rpc("import ctypes\n    ctypes.PyDLL(None).sleep(10**6)")(project)  # blocks all other threads of the interpreter
    (finding,) = check(project, limit=10).findings
    assert (finding.rule, finding.file) == ("never-finishes", SOURCE)


def test_each_step_has_the_whole_limit(project: Path) -> None:
    change("import pandas as pd\n", "import time\n\nimport pandas as pd\n\ntime.sleep(3)\n")(project)
    for number in range(3):
        code(f"\n\n@rpc\ndef more{number}() -> float:\n    import time\n    time.sleep(3)\n    return 1.0\n")(project)
    assert check(project, limit=10).findings == ()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("import os\n    os._exit(3)", "it ends the process (exit code 3)"),
        ("import os\n    os.abort()", "it ends the process (SIGABRT)"),
        ("raise SystemExit(3)", "it ended the process (SystemExit) instead of returning"),
    ],
)
def test_a_trial_that_ends_the_process_is_a_finding(project: Path, body: str, reason: str) -> None:
    rpc(body)(project)
    (finding,) = check(project).findings
    assert (finding.rule, finding.file) == ("ends-process", SOURCE)
    assert finding.reason == f"more: in a trial call on north_hospital's data, {reason}"


def test_processes_that_the_algorithm_starts_are_stopped(project: Path) -> None:
    add(project / SOURCE, "\nimport subprocess\n\nsubprocess.Popen(['sleep', '1000'])\n")
    assert check(project).findings == ()


def test_all_faults_are_found_together(project: Path) -> None:
    add(project / "Dockerfile", "USER nobody\n")
    replace(project / "pyproject.toml", "pandas>=2.3", "pandas>>2")
    replace(project / "federation.yaml", "data/org2.csv", "data/org22.csv")
    (project / "src/average/codes.csv").write_text("code\n")
    rpc("return {1}")(project)
    rpc("return 1", parameters="*numbers: int")(project)
    rpc("return 1", parameters="number")(project)
    rpc("return 1", parameters="number: complex")(project)
    code("\n\n@master\ndef two(client: AlgorithmClient) -> object:\n    client.run('average_part')\n"
         "    return list(client.run(average_partial, column_name=3))\n")(project)  # fmt: skip
    findings = check(project).findings
    assert {f.rule for f in findings} == {
        "user", "bad-requirement", "missing-data", "data-in-image", "unknown-function", "wrong-arguments",
        "result-not-serializable", "star-arguments", "no-annotation", "no-json-form",
    }  # fmt: skip
    assert list(findings) == sorted(findings, key=lambda f: (f.file, f.line or 0))
    assert len(set(findings)) == len(findings)
    add(project / SOURCE, "\nraise ValueError\n")
    assert {"user", "bad-requirement", "import-fails", "no-annotation"} <= {f.rule for f in check(project).findings}
