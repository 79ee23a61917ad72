"""Tries to leave the confinement in many ways, and returns the outcome of each. It never returns data."""

import ctypes
import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from algotools import rpc

LIBC = ctypes.CDLL(None, use_errno=True)
PROBES = {}


def probe(function):
    PROBES[function.__name__] = function
    return function


def attempt(action):
    """Return "done", or the name of the error."""
    try:
        result = action()
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)
    except BaseException as error:
        return type(error).__name__
    return "done" if result is not False else "refused"


def call(name, *arguments):
    if getattr(LIBC, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)


def system_call(number, *arguments):
    if LIBC.syscall(ctypes.c_long(number), *arguments) == -1:
        raise OSError(ctypes.get_errno(), "syscall")


def open_for(mode, path):
    with open(path, mode) as file:
        if "r" in mode and "+" not in mode:
            file.read(1)


def succeeds(*command):
    result = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=20)
    return result.returncode == 0


def for_files(kind, names, action):
    """Register a probe for each of the named files of the node."""
    for name in names.split():
        PROBES[f"{kind} {name}"] = lambda files, name=name: action(files[name])


HIDDEN = "other_input other_output other_token own_output own_token second closed owners_log"
FOREIGN = "other_output other_token own_output own_input database second code owners_log"

for_files("read", HIDDEN, lambda path: open_for("rb", path))
for_files("read by a child:", HIDDEN, lambda path: succeeds("cat", path))
for_files(
    "list the folder of",
    "other_input own_input database owners_log",
    lambda path: bool(os.listdir(os.path.dirname(path))),
)
for_files("write", FOREIGN, lambda path: open_for("r+b", path))
for_files("append", FOREIGN, lambda path: open_for("ab", path))
for_files("truncate", FOREIGN, lambda path: os.truncate(path, 0))
for_files("remove", FOREIGN, os.unlink)
for_files("rename", FOREIGN, lambda path: os.rename(path, path + "2"))
for_files("replace", FOREIGN, lambda path: os.replace(make_file(), path))
for_files("link", FOREIGN, lambda path: os.link(path, tempfile.mktemp()))
for_files("create beside", FOREIGN, lambda path: open_for("xb", path + "3"))
for_files("change the mode of", FOREIGN, lambda path: os.chmod(path, 0o777))
for_files("change the owner of", FOREIGN, lambda path: os.chown(path, os.getuid(), -1))
for_files("change the times of", FOREIGN, lambda path: os.utime(path, (1, 1)))
for_files("set an attribute of", FOREIGN, lambda path: os.setxattr(path, "user.mine", b"x"))
for_files("mount over", FOREIGN, lambda path: mount(make_file(), path, None, 4096))


def make_file():
    path = tempfile.mktemp()
    Path(path).write_text("mine")
    return path


def mount(source, target, kind, flags):
    call("mount", source.encode(), target.encode(), kind, flags, None)


for path in (
    "/etc/passwd",
    "/etc/hosts",
    "/usr/bin/mine",
    sys.executable,
    os.__file__,
    "/mine",
    "/app/mine",
    "/root/mine",
):
    PROBES[f"write {path}"] = lambda _files, path=path: open_for("ab", path)
for path in (
    "/proc/1/environ",
    "/proc/1/mem",
    "/proc/1/maps",
    "/proc/1/fd/0",
    "/proc/kcore",
    "/dev/mem",
):
    PROBES[f"read {path}"] = lambda _files, path=path: open_for("rb", path)
for path in (
    "/proc/sys/kernel/core_pattern",
    "/proc/sysrq-trigger",
    "/proc/1/oom_score_adj",
    "/sys/kernel/mm/ksm/run",
    "/dev/kmsg",
):
    PROBES[f"write {path}"] = lambda _files, path=path: open_for("r+b", path)
for name in ("environ", "mem", "maps", "auxv", "syscall", "stack", "io"):
    PROBES[f"read the supervisor's {name}"] = lambda _f, name=name: open_for("rb", f"/proc/{os.getppid()}/{name}")
for name in ("fd", "cwd", "root", "root/mnt", "map_files", "fdinfo"):
    PROBES[f"list the supervisor's {name}"] = lambda _f, name=name: bool(os.listdir(f"/proc/{os.getppid()}/{name}"))
for name in ("SIGTERM", "SIGKILL", "SIGSTOP", "SIGCONT", "SIGUSR1"):
    PROBES[f"send {name} to the supervisor"] = lambda _f, name=name: os.kill(os.getppid(), getattr(signal, name))


@probe
def trace_the_supervisor(files):
    call("ptrace", 16, os.getppid(), None, None)


@probe
def seize_the_supervisor(files):
    call("ptrace", 0x4206, os.getppid(), None, None)


@probe
def read_the_memory_of_the_supervisor(files):
    buffer = ctypes.create_string_buffer(8)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
    system_call(310, os.getppid(), vector, 1, vector, 1, 0)


@probe
def take_a_descriptor_of_the_supervisor(files):
    descriptor = os.pidfd_open(os.getppid())
    try:
        for number in range(3, 20):
            try:
                system_call(438, descriptor, number, 0)
            except OSError as error:
                if error.errno != errno.EBADF:
                    raise
    finally:
        os.close(descriptor)


@probe
def signal_the_supervisor_by_pidfd(files):
    descriptor = os.pidfd_open(os.getppid())
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGCONT)
    finally:
        os.close(descriptor)


@probe
def signal_the_first_process(files):
    os.kill(1, signal.SIGCONT)


@probe
def change_the_priority_of_the_supervisor(files):
    os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)


@probe
def change_the_limits_of_the_supervisor(files):
    import resource

    resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))


@probe
def change_the_processors_of_the_supervisor(files):
    os.sched_setaffinity(os.getppid(), {0})


@probe
def become_root(files):
    os.setuid(0)
    return capabilities() or os.getuid() != FIRST_USER


@probe
def become_the_group_of_root(files):
    os.setgid(0)
    return capabilities() or os.getuid() != FIRST_USER


FIRST_USER = os.getuid()


def capabilities():
    """Return whether this process has a privilege."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return any(int(line.split()[1], 16) for line in lines if line.startswith(("CapEff", "CapPrm", "CapInh", "CapAmb")))


@probe
def take_groups(files):
    os.setgroups([0])


@probe
def use_su(files):
    return succeeds("su", "-c", "true")


@probe
def use_mount_as_a_program(files):
    return succeeds("mount", "-t", "tmpfs", "none", "/tmp")


@probe
def use_a_setuid_copy(files):
    path = make_file()
    os.chmod(path, 0o4755)
    os.chown(path, 0, 0)


@probe
def gain_capabilities(files):
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
    call("capset", header, data)


@probe
def raise_an_ambient_capability(files):
    call("prctl", 47, 2, 21, 0, 0)


@probe
def forget_no_new_privileges(files):
    call("prctl", 38, 0, 0, 0, 0)


for name, flag in {
    "user": 0x10000000,
    "mount": 0x20000,
    "network": 0x40000000,
    "process": 0x20000000,
    "uts": 0x4000000,
}.items():
    PROBES[f"leave the {name} namespace"] = lambda _f, flag=flag: in_child(lambda: call("unshare", flag))
for name in ("mnt", "net", "pid", "user"):
    PROBES[f"enter the {name} namespace of the supervisor"] = lambda _f, name=name: enter(name)


def in_child(action):
    """Call the action in a child, so that its success does not change this process."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno)
        finally:
            os._exit(255)
    if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise OSError(code, "in a child")


def enter(name):
    with open(f"/proc/{os.getppid()}/ns/{name}") as file:
        call("setns", file.fileno(), 0)


@probe
def change_root(files):
    in_child(lambda: os.chroot("/tmp"))


@probe
def mount_memory(files):
    mount("none", "/tmp", b"tmpfs", 0)


@probe
def mount_proc(files):
    mount("proc", "/tmp", b"proc", 0)


@probe
def remount(files):
    mount("none", "/", None, 32)


@probe
def unmount(files):
    call("umount2", b"/proc", 2)


@probe
def make_a_device(files):
    os.mknod(tempfile.mktemp(), 0o666 | stat.S_IFBLK, os.makedev(8, 0))


@probe
def set_the_host_name(files):
    socket.sethostname("mine")


@probe
def load_a_program_into_the_kernel(files):
    buffer = ctypes.create_string_buffer(128)
    system_call(321, 0, buffer, 128)


@probe
def watch_the_kernel(files):
    buffer = ctypes.create_string_buffer(128)
    system_call(298, buffer, -1, 0, -1, 0)


@probe
def open_by_handle(files):
    system_call(304, -100, ctypes.create_string_buffer(b"\x08\0\0\0\x01\0\0\0" + b"\2" * 8), 0)


@probe
def open_raw_packets(files):
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


@probe
def open_raw_addresses(files):
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


@probe
def follow_a_link(files):
    path = tempfile.mktemp()
    os.symlink(files["other_token"], path)
    open_for("rb", path)


@probe
def follow_a_link_in_proc(files):
    return bool(os.listdir("/proc/1/cwd"))


@probe
def read_through_a_shell(files):
    return succeeds("sh", "-c", f"exec 3<{files['other_token']}")


@probe
def read_with_another_thread_of_execution(files):
    return succeeds(sys.executable, "-c", f"open({files['other_token']!r})")


@rpc
def probe_all(data: pd.DataFrame, files: dict[str, str], names: list[str]) -> dict[str, str]:
    return {name: attempt(lambda: PROBES[name](files)) for name in names}


@rpc
def probe_secrets(data: pd.DataFrame, texts: list[str]) -> dict[str, bool]:
    """Return which secrets this process can find in its environment."""
    values = [Path("/proc/self/environ").read_bytes(), *map(os.fsencode, os.environ.values())]
    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            values.append(process.read_bytes())
        except OSError:
            continue
    return {text: any(text[::-1].encode() in value for value in values) for text in texts}


@rpc
def probe_network(addresses: list[str]) -> dict[str, str]:
    return {
        address: attempt(lambda: socket.create_connection((address, 53), timeout=2).close()) for address in addresses
    }
