"""The owner's log of the local federation, and masters that return results without reading them."""

import pandas as pd
import pytest

from algotools import AlgorithmClient, Federation, master, rpc
from algotools.errors import RunsFailed
from algotools.runtime.logs import OWNER_LOG

NODES = {name: pd.DataFrame({"age": [30, 40, 50]}) for name in ("first", "second")}


@rpc
def count(data: pd.DataFrame) -> int:
    print("a detail")  # noqa: T201 - the subject of these tests
    return len(data)


@rpc
def fails(data: pd.DataFrame) -> int:
    raise ValueError("a reason")


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_a_file_has_the_details_of_each_run(tmp_path, monkeypatch, runner):
    file = tmp_path / "owner.log"
    monkeypatch.setenv(OWNER_LOG, str(file))
    with Federation(NODES, algorithm=[count, fails], runner=runner) as federation, pytest.raises(RunsFailed):
        federation.run(fails)
    text = file.read_text()
    assert text.count("ValueError: a reason") == 2
    assert "first (id 2), run 1:" in text
    assert "second (id 3), run 2:" in text


def test_a_folder_has_a_file_for_each_run(tmp_path, monkeypatch):
    monkeypatch.setenv(OWNER_LOG, str(tmp_path))
    with Federation(NODES, algorithm=[count], runner="process") as federation:
        assert list(federation.run(count)) == [3, 3]
    files = sorted(tmp_path.glob("task-*.log"))
    assert [file.read_text().splitlines()[1:] for file in files] == [["a detail"], ["a detail"]]


def test_a_node_can_have_an_owners_log_of_its_own(tmp_path):
    with (
        Federation(
            NODES, algorithm=[fails], runner="inline", variables={"second": {OWNER_LOG: str(tmp_path / "log")}}
        ) as federation,
        pytest.raises(RunsFailed),
    ):
        federation.run(fails)
    text = (tmp_path / "log").read_text()
    assert text.startswith("second (id 3)")
    assert "first (id 2)" not in text


def test_an_owners_log_that_cannot_be_written_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv(OWNER_LOG, str(tmp_path / "missing" / "log"))
    with Federation(NODES, algorithm=[fails], runner="inline") as federation:
        with pytest.raises(RunsFailed):
            federation.run(fails, at=[2])
        assert "the owner's log cannot be written (No such file or directory)" in federation.task(1).runs[0].log


@master
def returns(client: AlgorithmClient, kind: str) -> object:
    results = client.run(count)
    return {"plain": results, "in a dict": {"a": [results]}, "map": map(str, results), "early": results.as_completed()}[
        kind
    ]


UNREAD = {
    "plain": "result: a value of type Results has no JSON form; wrap it in list(…)",
    "in a dict": "result['a'][0]: a value of type Results has no JSON form; wrap it in list(…)",
    "map": "result: an iterator has no JSON form; wrap it in list(…)",
    "early": "result: an iterator has no JSON form; wrap it in list(…)",
}


@pytest.mark.parametrize(
    ("contract", "runner"), [("v3", "inline"), ("v4", "inline"), ("v4", "process"), ("v5", "inline")]
)
def test_a_master_that_returns_unread_results_gets_one_error(contract, runner):
    with Federation(NODES, algorithm=[count, returns], contract=contract, runner=runner) as federation:
        for kind, message in UNREAD.items():
            with pytest.raises(RunsFailed) as raised:
                federation.ask(returns, kind=kind)
            [failure] = raised.value.failures.values()
            assert (failure.exit_code, failure.message) == (42, message)
