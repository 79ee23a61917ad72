"""The ledger of a node: what an entry contains, and which results are refused because of earlier ones."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import msgspec
import numpy as np
import pytest

from algotools.disclosure.ledger import read_entries, read_heads, verify_ledger
from algotools.errors import PolicyError, Withheld

from .ledgers import ROWS, RecordingNode

ALL = np.arange(ROWS)


def read(folder: Path):
    return list(read_entries(folder / "ledger.jsonl"))


def test_an_entry_describes_the_run_and_contains_no_value(tmp_path):
    node = RecordingNode(tmp_path)
    output = node.run(ALL, value=123456.75, arguments={"column": "cost"})
    (entry,) = read(tmp_path)
    assert (entry.number, entry.verdict, entry.method, entry.task, entry.organization) == (1, "left", "sums", 1, 2)
    assert entry.image == "demo@sha256:abc"
    assert entry.size == len(output)
    (database,) = entry.databases
    assert (database.label, database.rows, database.columns) == ("default", ROWS, ("cost", "age"))
    (numbers,) = entry.numbers
    assert (numbers.operation, numbers.records, numbers.path, numbers.row_set) == (
        "aggregate.sum",
        ROWS,
        "result['sum']",
        0,
    )
    text = (tmp_path / "ledger.jsonl").read_text()
    assert "123456" not in text
    assert len(text) < 2_000


@pytest.mark.parametrize("removed", [1, 2])
def test_two_tasks_whose_rows_differ_by_few_records_are_refused(tmp_path, removed):
    node = RecordingNode(tmp_path)
    node.run(ALL)
    with pytest.raises(Withheld, match=r"sums: result withheld: .* fewer than 3 records .* \(rule ledger\)") as caught:
        node.run(ALL[removed:])
    assert "cost" not in caught.value.message
    assert f"differs from that of entry 1 in {removed} records" in caught.value.detail
    first, second = read(tmp_path)
    assert (second.verdict, second.exit_code, second.size, second.output) == ("withheld", 54, 0, "")
    assert [(r.rule, r.earlier) for r in second.refusals] == [("ledger", 1)]
    assert first.verdict == "left"


def test_a_refused_result_is_not_compared_because_it_did_not_leave(tmp_path):
    node = RecordingNode(tmp_path)
    node.run(ALL)
    with pytest.raises(Withheld):
        node.run(ALL[1:])
    node.run(ALL[3:])  # 3 records from the first, 2 from the second


def test_one_row_in_and_one_row_out_are_two_records(tmp_path):
    node = RecordingNode(tmp_path)
    node.run(ALL[:-1])
    with pytest.raises(Withheld, match="rule ledger"):
        node.run(ALL[1:])


@pytest.mark.parametrize(
    "second",
    [
        {"rows": ALL},
        {"rows": ALL[3:]},
        {"rows": ALL[::2]},
        {"rows": ALL[1:], "column": "age"},
        {"rows": ALL[1:], "query": "select * from t"},
    ],
    ids=["same rows", "three rows fewer", "half of the rows", "another column", "another query"],
)
def test_other_pairs_of_tasks_may_leave(tmp_path, second):
    node = RecordingNode(tmp_path)
    node.run(ALL)
    node.run(**second)
    assert [entry.verdict for entry in read(tmp_path)] == ["left", "left"]


@pytest.mark.parametrize("minimum", [2, 3, 5, 10, 64, 100])
def test_the_limit_of_the_policy_decides(tmp_path, minimum):
    node = RecordingNode(tmp_path, minimum_cell=minimum, minimum_rows=minimum)
    rng = np.random.default_rng(0)
    node.run(ALL)
    node.run(np.delete(ALL, rng.choice(ROWS, minimum, replace=False)))
    for count in {1, minimum - 1}:
        with pytest.raises(Withheld, match="rule ledger"):
            node.run(np.delete(ALL, rng.choice(ROWS, count, replace=False)))


def test_tasks_of_other_queries_in_between_hide_no_earlier_task(tmp_path):
    node = RecordingNode(tmp_path)
    rng = np.random.default_rng(0)
    node.run(ALL)
    for _ in range(99):
        node.run(rng.choice(ROWS, 500, replace=False), query="select * from other")
    with pytest.raises(Withheld, match="rule ledger"):
        node.run(ALL[1:])


def test_more_repetitions_than_the_policy_allows_are_refused(tmp_path):
    node = RecordingNode(tmp_path, repeats=2)
    for _ in range(3):
        node.run(ALL, arguments={"seed": 1})
    with pytest.raises(Withheld, match=r"as often as its policy allows \(rule repeats\)"):
        node.run(ALL, arguments={"seed": 1})
    node.run(ALL, arguments={"seed": 2})


def test_a_resend_of_one_task_is_not_a_repetition(tmp_path):
    node = RecordingNode(tmp_path, repeats=1)
    for _ in range(5):
        node.run(ALL, arguments={"seed": 1}, task=17)
    node.run(ALL, arguments={"seed": 1}, task=18)
    with pytest.raises(Withheld, match="rule repeats"):
        node.run(ALL, arguments={"seed": 1}, task=19)
    node.run(ALL, arguments={"seed": 1}, task=18)


def test_a_request_that_a_master_sends_again_is_not_a_repetition(tmp_path):
    """A node of v5 loses results, so a master sends its request again: at most twice for each task."""
    node = RecordingNode(tmp_path, repeats=1)
    call = {"arguments": {"seed": 1}}
    node.run(ALL, **call, task=17)
    node.run(ALL, **call, task=18, resend_of=17)
    node.run(ALL, **call, task=19, resend_of=17)
    node.run(ALL, **call, task=20)
    node.run(ALL, **call, task=21, resend_of=20)
    for task, resend_of in ((22, None), (23, 17), (24, 99)):
        with pytest.raises(Withheld, match="rule repeats"):
            node.run(ALL, **call, task=task, resend_of=resend_of)


def test_the_head_of_the_ledger_is_in_the_log_of_each_run(tmp_path):
    node = RecordingNode(tmp_path)
    node.run(ALL)
    with pytest.raises(Withheld):
        node.run(ALL[1:])
    heads = read_heads("\n".join(node.log))
    assert [head.number for head in heads] == [1, 2]
    assert not verify_ledger(tmp_path / "ledger.jsonl", heads).missing


def test_lines_removed_at_the_end_are_found_with_the_log(tmp_path):
    node = RecordingNode(tmp_path)
    for _ in range(3):
        node.run(ALL)
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert verify_ledger(path).fault is None
    (missing,) = verify_ledger(path, read_heads("\n".join(node.log))).missing
    assert missing.number == 3


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: [lines[0], lines[2]], 2),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[1], lines[0], lines[2]], 1),
        (lambda lines: [lines[0], lines[1].replace(b'"withheld"', b'"left"'), lines[2]], 3),
        (lambda lines: [lines[0], lines[0], *lines[1:]], 2),
        (lambda lines: [lines[0], b"nonsense\n", *lines[1:]], 2),
    ],
    ids=["removed", "first removed", "exchanged", "changed", "added", "nonsense"],
)
def test_each_change_of_the_ledger_is_found(tmp_path, change, line):
    node = RecordingNode(tmp_path)
    node.run(ALL)
    with pytest.raises(Withheld):
        node.run(ALL[1:])
    node.run(ALL)
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    fault = verify_ledger(path).fault
    assert fault is not None
    assert fault.line == line


@pytest.mark.parametrize("half", [b'{"number":3,"prev', b"\0" * 100, b"x" * 200_000])
def test_half_a_line_of_a_killed_writer_is_cut_off(tmp_path, half):
    node = RecordingNode(tmp_path)
    node.run(ALL)
    path = tmp_path / "ledger.jsonl"
    with path.open("ab") as file:
        file.write(half)
    assert verify_ledger(path).has_half_line
    node.run(ALL)
    verification = verify_ledger(path)
    assert (verification.head.number, verification.fault, verification.has_half_line) == (2, None, False)


def test_a_first_line_that_was_written_by_half_is_cut_off(tmp_path):
    node = RecordingNode(tmp_path)
    (tmp_path / "ledger.jsonl").write_bytes(b'{"number":1')
    node.run(ALL)
    assert verify_ledger(tmp_path / "ledger.jsonl").head.number == 1


def test_long_entries_are_read_backwards(tmp_path):
    """Entries are longer than the blocks in which the file is read."""
    node = RecordingNode(tmp_path)
    many = tuple(os.urandom(768) for _ in range(300))

    def add(matches):
        return msgspec.structs.replace(matches, row_sets=(*matches.row_sets, *many))

    for column in ("cost", "age", "cost"):
        node.run(ALL, column=column, edit=add)
    assert len(read(tmp_path)) == 3
    with pytest.raises(Withheld, match="rule ledger"):
        node.run(ALL[1:], column="age")


def test_only_the_owner_can_read_ledger_and_key(tmp_path):
    RecordingNode(tmp_path).run(ALL)
    for name in ("ledger.jsonl", "ledger.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    (tmp_path / "ledger.key").chmod(0o644)
    with pytest.raises(PolicyError, match=r"other users can read the key of the ledger; run chmod 600 ledger\.key"):
        RecordingNode(tmp_path).run(ALL)


def test_a_half_written_key_is_made_again_unless_entries_have_used_it(tmp_path):
    (tmp_path / "ledger.key").write_bytes(b"short")
    (tmp_path / "ledger.key").chmod(0o600)
    node = RecordingNode(tmp_path)
    node.run(ALL)
    (tmp_path / "ledger.key").unlink()
    with pytest.raises(PolicyError, match="has entries, but its key"):
        node.run(ALL)


@pytest.mark.parametrize("kind", ["missing", "file", "link", "pipe", "damaged"])
def test_a_ledger_that_cannot_be_used_stops_the_run_before_data_is_read(tmp_path, kind):
    folder = tmp_path / "folder"
    if kind == "file":
        folder.write_text("")
    elif kind != "missing":
        folder.mkdir()
        if kind == "link":
            (folder / "ledger.jsonl").symlink_to(tmp_path / "elsewhere")
        elif kind == "pipe":
            os.mkfifo(folder / "ledger.jsonl")
        else:
            (folder / "ledger.jsonl").write_text("nonsense\n")
    with pytest.raises(PolicyError, match="setting ledger") as caught:
        RecordingNode(folder).run(ALL)
    assert str(tmp_path) not in caught.value.message
    assert not (tmp_path / "elsewhere").exists()


def test_an_entry_is_one_line_of_json(tmp_path):
    node = RecordingNode(tmp_path)
    node.run(ALL, arguments={"text": "two\nlines\u2028"})
    (line,) = (tmp_path / "ledger.jsonl").read_bytes().splitlines()
    assert json.loads(line)["number"] == 1
