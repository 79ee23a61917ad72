"""A sandbox for the author's code on the author's own machine, where it would have the rights of whoever starts it.

``algotools check`` and ``--confined`` use it. In contrast to a container, the files of the machine are private here. So
the code can use only what is listed: Python and its libraries, the project, and the data of the task. The kernel
enforces the sandbox for the process and for everything that it starts. No privilege and no installation is needed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import site
import sys
import sysconfig
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec

from algotools.data.reading import find_path
from algotools.errors import AlgotoolsError, list_causes
from algotools.runtime.logs import note

if TYPE_CHECKING:
    from algotools.runtime.sandbox._kernel import Rule

NOBODY = 65534
"""The id of the user without rights on Linux."""

LARGEST_FILE = 1 << 30
"""Bytes that the code may write to one file."""
MOST_PROCESSES = 256
"""Processes and threads that the code may add to those of its user."""
_ADDRESS_SPACE_FACTOR = 4
"""Address space in relation to the memory limit. Libraries reserve addresses that they never use."""

_SYSTEM = ("/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr", "/nix/store", "/gnu/store")
_SETTINGS = (
    "alternatives", "ca-certificates", "fonts", "group", "host.conf", "hosts", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "localtime", "locale.alias", "locale.conf", "mime.types", "nsswitch.conf", "os-release", "passwd",
    "pki/tls/certs", "protocols", "python3", "resolv.conf", "services", "ssl/certs", "ssl/openssl.cnf", "timezone",
)  # fmt: skip
"""Readable files and folders of ``/etc``. The others may contain secrets."""
_KERNEL_FOLDERS = (
    "/proc", "/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/fs/cgroup", "/sys/kernel/mm",
)  # fmt: skip
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_DATABASE_FILES = ("-wal", "-shm", "-journal", ".wal")
"""Endings of the files that SQLite and DuckDB keep beside a database."""
_PORTS = {
    "postgresql": 5432, "postgres": 5432, "mysql": 3306, "mariadb": 3306, "http": 80, "https": 443, "mssql": 1433,
    "sc": 15002,
}  # fmt: skip

NO_SANDBOX = "the sandbox, which needs Linux"
NO_FILE_RULES = "the limits of files (the kernel has no Landlock)"
NO_PORT_RULES = "the limits of the network (the kernel's Landlock is older than version 4)"
NO_PROCESS_LIMIT = "the limit of processes (the process may not change its user)"


class LocalSandbox(msgspec.Struct, frozen=True, kw_only=True):
    """The rights of a process. Everything that is not listed here is forbidden."""

    folder: str
    """The private folder, in which every right exists; it becomes HOME and the folder for temporary files."""
    readable: tuple[str, ...] = ()
    """The files and folders that can be read besides Python and its libraries."""
    writable: tuple[str, ...] = ()
    """More folders in which every right exists."""
    databases: tuple[str, ...] = ()
    """URIs of databases that can be read: files, or servers that can be reached."""
    ports: tuple[int, ...] = ()
    """TCP ports that can be reached, at any host."""
    memory: int | None = None
    """Bytes of memory of each process, on which the limit of its address space is based."""
    seconds: float | None = None
    """Seconds of computing time of each process, over all of its threads."""

    def apply(self) -> tuple[str, ...]:
        """Confine this process for good, and return the parts of the sandbox that the kernel does not have.

        Call the function while the process has only one thread: some of the limits hold only for the calling thread.
        """
        if sys.platform != "linux":
            return (NO_SANDBOX,)
        from algotools.runtime.sandbox import _filter, _kernel  # here, because other systems have no such calls

        missing: list[str] = []
        ports = {*self.ports, *find_ports(self.databases)}
        may_resolve = any(_needs_resolution(uri) for uri in self.databases)
        version = _kernel.read_version()
        # The rules are built with all rights, because a later step may take away the right to see a folder.
        ruleset = _kernel.create_ruleset(self._build_rules(), ports)
        if os.geteuid() == 0 and not self._leave_root(has_file_rules=ruleset is not None):
            missing.append(NO_PROCESS_LIMIT)
        self._limit_resources()
        _kernel.drop_bounding_set()
        _kernel.drop_capabilities()
        _kernel.forbid_new_privileges()
        _kernel.set_dumpable()
        if ruleset is None:
            missing.append(NO_FILE_RULES)
        else:
            _kernel.restrict_self(ruleset)
        if ports and version < _kernel.NETWORK_VERSION:
            missing.append(NO_PORT_RULES)
        policy = _filter.SystemCallPolicy(
            may_connect=bool(ports),
            may_resolve=may_resolve,
            own_signals_only=version < _kernel.SCOPE_VERSION,
        )
        try:
            _filter.install_filter(policy)
        except _filter.FilterUnavailable as error:
            missing.append(f"the filter of system calls ({error})")
        self._set_environment()
        return tuple(missing)

    def apply_and_log(self) -> None:
        """Confine this process for good, and log how far."""
        missing = self.apply()
        note("; ".join(("the algorithm's code runs in a sandbox", *([describe_missing(missing)] if missing else ()))))

    def explain_denial(self, error: AlgotoolsError) -> AlgotoolsError:
        """Add the sandbox to the message of an error that a forbidden operation may have caused; return the error."""
        if is_denial(error):
            error.message += f" ({HINT})"
        return error

    def _build_rules(self) -> Iterator[Rule]:
        from algotools.runtime.sandbox._kernel import ALL_RIGHTS, EXECUTE, TRUNCATE, WRITE_FILE, Rule
        from algotools.runtime.sandbox._rules import READ

        settings = (f"/etc/{name}" for name in _SETTINGS)
        for path in {*_SYSTEM, *settings, *find_python_folders(), *self.readable}:
            yield Rule(path, READ | EXECUTE, follows_links=True)
        for path in (*_KERNEL_FOLDERS, *find_database_files(self.databases)):
            yield Rule(path, READ, follows_links=True)
        for path in _DEVICES:
            yield Rule(path, READ | WRITE_FILE | TRUNCATE, follows_links=True)
        for path in (self.folder, *self.writable):
            yield Rule(path, ALL_RIGHTS, follows_links=True)

    def _leave_root(self, *, has_file_rules: bool) -> bool:
        """Give up the user root as far as possible; return whether its processes can be limited.

        The project often belongs to root, and other users may not enter its folders. So with file rules the process
        keeps root's files and nothing else: the kernel counts its processes for the user nobody, and the process has no
        capabilities. Without file rules it becomes nobody, unless nobody cannot read the project.
        """
        try:
            if has_file_rules or not self._is_readable_for_nobody():
                os.setresuid(NOBODY, 0, 0)
                return True
            os.chown(self.folder, NOBODY, NOBODY)
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        except OSError:
            return False
        return True

    def _is_readable_for_nobody(self) -> bool:
        paths = {*self.readable, *find_database_files(self.databases), *find_python_folders()}
        existing_paths = [path for path in paths if os.path.exists(path)]
        os.seteuid(NOBODY)
        try:
            return all(os.access(path, os.R_OK, effective_ids=True) for path in existing_paths)
        finally:
            os.seteuid(0)

    def _limit_resources(self) -> None:
        import resource  # here, because not every operating system has it

        _lower_limit(resource.RLIMIT_CORE, 0)
        _lower_limit(resource.RLIMIT_FSIZE, LARGEST_FILE)
        _lower_limit(resource.RLIMIT_NPROC, _count_tasks(os.getuid()) + MOST_PROCESSES)
        if self.seconds is not None:
            _lower_limit(resource.RLIMIT_CPU, int(self.seconds) + 1)
        if self.memory is not None:
            size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
            _lower_limit(resource.RLIMIT_AS, size + self.memory * _ADDRESS_SPACE_FACTOR)

    def _set_environment(self) -> None:
        for name in [name for name in os.environ if name.startswith("XDG_")]:
            del os.environ[name]
        for name in ("HOME", "TMPDIR", "TEMP", "TMP"):
            os.environ[name] = self.folder
        tempfile.tempdir = None  # Python reads the variable again


def describe_missing(missing: Sequence[str]) -> str:
    """Return the parts of the sandbox that this machine does not have, as text for its user."""
    return f"this machine cannot provide {', '.join(missing)}"


def find_python_folders() -> set[str]:
    """Return the folders of this interpreter and of everything that it can import, also of editable projects."""
    import algotools

    scripts = Path(sys.executable).resolve().parent
    paths = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, str(scripts), *sys.path}
    paths |= {*sysconfig.get_paths().values(), *os.environ.get("LD_LIBRARY_PATH", "").split(":")}
    paths.add(str(Path(algotools.__file__).parent))
    if site.ENABLE_USER_SITE:
        paths.add(site.getusersitepackages())
    for distribution in metadata.distributions():
        with contextlib.suppress(ValueError, OSError):
            link = json.loads(distribution.read_text("direct_url.json") or "{}")
            if link.get("dir_info", {}).get("editable") and link["url"].startswith("file://"):
                paths.add(unquote(urlsplit(link["url"]).path))
    # An import path can be a folder with everything of the user, for instance in a Python started there.
    return {os.path.realpath(path) for path in paths if path} - {"/", os.path.realpath(Path.home())}


def find_database_files(uris: Iterable[str]) -> list[str]:
    """Return the files of databases, and the files that SQLite and DuckDB keep beside them."""
    paths = [path for uri in uris if (path := find_path(uri))]
    return [f"{path}{ending}" for path in paths for ending in ("", *_DATABASE_FILES)]


def find_ports(uris: Collection[str]) -> set[int]:
    """Return the TCP ports of databases at servers."""
    ports = set()
    for uri in uris:
        if "://" in uri and find_path(uri) is None:
            with contextlib.suppress(ValueError):
                parts = urlsplit(uri)
                port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
                if port is not None and parts.hostname:
                    ports.add(port)
    return ports


def is_denial(error: BaseException | None) -> bool:
    """Whether a sandbox may have caused an error, directly or through the errors behind it."""
    return any(isinstance(cause, OSError) and cause.errno in _DENIALS for cause in list_causes(error))


_DENIALS = frozenset({errno.EPERM, errno.EACCES, errno.EAGAIN, errno.EFBIG})
"""Errors of a forbidden operation. The last two: a process that may not be started, and a file that is too large."""
HINT = (
    "the sandbox allows only the files of the algorithm and of the node's databases, no other network connections, and "
    f"changes only of temporary files; the limits are {MOST_PROCESSES} more processes and 1 GiB for a file"
)
"""Explains to an author why an operation failed."""


def _needs_resolution(uri: str) -> bool:
    """Whether a database is at a host whose name has to be looked up."""
    with contextlib.suppress(ValueError):
        host = urlsplit(uri).hostname if "://" in uri and find_path(uri) is None else None
        return bool(host) and host != "localhost" and not all(c in "0123456789abcdef.:" for c in host or "")
    return False


def _lower_limit(kind: int, value: int) -> None:
    import resource

    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _count_tasks(uid: int) -> int:
    """Return the number of processes and threads of a user."""
    count = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            fields = dict(line.split(":", 1) for line in status.read_text("ascii", "replace").splitlines())
            count += int(fields["Threads"]) if int(fields["Uid"].split()[0]) == uid else 0
    return count
