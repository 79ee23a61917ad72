"""The rules for files, built from the mounts of a container of any generation."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools.runtime.sandbox import _rules
from algotools.runtime.sandbox._kernel import ALL_RIGHTS, READ_DIR
from algotools.task import Database, Task

MOUNTINFO = """\
76 52 0:39 / / rw,relatime master:2 - overlay overlay rw,lowerdir=/a:/b
77 76 0:42 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
78 76 0:43 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
92 78 0:47 / /dev/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k
80 76 0:45 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
93 76 254:0 /containers/66/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda rw
94 76 254:0 /libcuda.so.1 /usr/lib/libcuda.so.1 ro shared:7 master:2 - ext4 /dev/vda rw
95 76 254:0 /volumes/a/_data /mnt/data rw,relatime - ext4 /dev/vda rw
96 76 254:0 /volumes/b/_data /mnt/with\\040a\\134blank rw,relatime - ext4 /dev/vda rw
"""


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("", None),
        ("/mnt/data/a b.csv", "/mnt/data/a b.csv"),
        ("/mnt/data/100%.csv", "/mnt/data/100%.csv"),
        ("file:///mnt/data/a%20b.csv", "/mnt/data/a b.csv"),
        ("file://localhost/mnt/data/a.csv", "/mnt/data/a.csv"),
        ("postgresql://user:word@host:5432/base", None),
        ("http://host/file.csv", None),
        ("sqlite:////mnt/data/a b.db", "/mnt/data/a b.db"),
        ("sqlite+pysqlite:////mnt/data/a.db?timeout=5", "/mnt/data/a.db"),
        ("sqlite:///a.db", "a.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("duckdb:///mnt/data/a.duckdb", "/mnt/data/a.duckdb"),
        ("duckdb://", None),
    ],
)
def test_the_path_of_a_uri(uri: str, path: str | None) -> None:
    assert _rules.find_path(uri) == path


def test_mount_points_are_read() -> None:
    assert _rules.read_mount_points(MOUNTINFO) == {
        "/", "/proc", "/dev", "/dev/shm", "/sys", "/etc/resolv.conf", "/usr/lib/libcuda.so.1", "/mnt/data",
        "/mnt/with a\\blank",
    }  # fmt: skip


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1))
def test_a_mount_point_with_any_name_is_read(name: str) -> None:
    escaped = "".join(f"\\{ord(c):03o}" if c in " \t\n\\" else c for c in name)
    line = f"95 76 254:0 /x /mnt/{escaped} rw,relatime - ext4 /dev/vda rw"
    assert _rules.read_mount_points(f"{line}\n") == {f"/mnt/{name}"}


def task(**fields: object) -> Task:
    return Task(method="f", input_file=Path("/mnt/data/1/input"), output_file=Path("/mnt/data/1/output"), **fields)  # type: ignore[arg-type]


def test_the_files_of_the_task_are_allowed_with_the_rights_they_need() -> None:
    rules = _rules.build_rules(
        task(
            databases=(Database("a", "file:///mnt/data/a.csv"), Database("b", "sql://host/b"), Database("c")),
            configured=(Database("d", "/mnt/data/d.csv"),),
            temporary_folder=Path("/mnt/tmp"),
        ),
        MOUNTINFO,
        (),
    )
    # This machine may have other files under /mnt.
    assert {rule.path: rule.rights for rule in rules if rule.path.startswith(("/mnt/data", "/mnt/tmp"))} == {
        "/mnt/data/1/input": _rules.READ,
        "/mnt/data/a.csv": _rules.READ,
        "/mnt/tmp": ALL_RIGHTS,
    }
    assert {"/usr", "/etc", "/proc", "/dev", "/tmp"} <= {rule.path for rule in rules}
    assert "/" not in {rule.path for rule in rules}


names = st.sampled_from(["a", "b", "c d"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every path that the strategy creates, three levels deep."""
    root = tmp_path_factory.mktemp("tree")
    for first in "a", "b", "c d":
        for second in "a", "b", "c d":
            for third in "a", "b", "c d":
                (root / first / second / third).mkdir(parents=True)
    return root


@given(mounts=st.sets(paths, max_size=4), code=st.sets(paths, max_size=2))
def test_exactly_the_files_that_are_not_mounted_are_allowed(tree: Path, mounts: set[str], code: set[str]) -> None:
    node_mounts = {f"{tree}/{path}" for path in mounts}
    rules = list(_rules._build_image_rules(str(tree), node_mounts, {f"{tree}/{path}" for path in code}))
    read = {rule.path for rule in rules if rule.rights != READ_DIR}
    for leaf in tree.glob("*/*/*"):
        above = {str(leaf), *map(str, leaf.parents)}
        assert bool(above & read) == (not above & node_mounts)
    for rule in rules:
        if rule.rights == READ_DIR:
            assert rule.path.removeprefix(f"{tree}/") in code
            assert any(PurePosixPath(mount).is_relative_to(rule.path) for mount in node_mounts)


def test_a_link_of_the_image_does_not_open_a_mount(tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    (tmp_path / "link").symlink_to("mounted")
    assert list(_rules._build_image_rules(str(tmp_path), {str(tmp_path / "mounted")}, ())) == []


def test_an_unreadable_folder_is_left_out() -> None:
    assert list(_rules._build_image_rules("/not there", set(), ())) == []
