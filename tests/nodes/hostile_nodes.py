"""A node type of strangers: each attack tries one way out of its process, and says whether it went.

The manual page every declaration needs.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    Isolation,
    NodeContext,
    NodeParameters,
    Outputs,
    Port,
    PortSpec,
    Resources,
    field,
    node,
)


class Parameters(NodeParameters):
    attack: str = field("", title="What to try")
    worker: int = field(0, title="The worker's process")
    victim: str = field("", title="A file of somebody else")


Attack = Callable[[Parameters], object]
Deed = Callable[[Parameters, NodeContext], None]
_libc: Final = ctypes.CDLL(None, use_errno=True)


def _called(name: str, *arguments: Any) -> None:
    """A function of the C library that answers below 0 when it is refused."""
    if getattr(_libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def _process_vm(parameters: Parameters) -> None:
    buffer = ctypes.create_string_buffer(16)
    local = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
    # An address that is in nobody's hands: what is asked is whether we may ask at all.
    done = _libc.process_vm_readv(parameters.worker, local, 1, local, 1, 0)
    if done < 0 and ctypes.get_errno() != errno.EFAULT:
        raise OSError(ctypes.get_errno(), "process_vm_readv")


def _signal_by_descriptor(parameters: Parameters) -> None:
    """The kernel would send the signal, to whom we name as the owner of a descriptor."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    fcntl.fcntl(reading, fcntl.F_SETOWN, parameters.worker)
    select.select([], [writing], [], 0)


def _spawned(parameters: Parameters) -> None:
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)


def _forked(parameters: Parameters) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _raised(parameters: Parameters) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard * 2))


def _big_file(parameters: Parameters) -> None:
    with Path("big").open("wb") as file:
        file.truncate(1 << 40)


def _many_descriptors(parameters: Parameters) -> None:
    held: list[int] = []
    try:
        held.extend(os.dup(1) for _ in range(2_000))
    finally:
        for one in held:
            os.close(one)


def _found_descriptors(parameters: Parameters) -> None:
    """0 to 2 lead nowhere, 3 is the channel; anything else would be somebody's."""
    for descriptor in range(4, 1024):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        return
    raise OSError("nothing")


def _private(parameters: Parameters) -> None:
    """Whether something of the worker's is in the environment."""
    known = {
        "PATH",
        "LANG",
        "LC_CTYPE",
        "TZ",
        "PWD",
        "PYTHONPATH",
        "TMPDIR",
        "ORT_DISABLE_TELEMETRY",
    }
    if set(os.environ) <= known | {name for name in os.environ if name.endswith("_THREADS")}:
        raise OSError("nothing")


def _opens(family: int) -> Attack:
    return lambda parameters: socket.socket(family, socket.SOCK_DGRAM)


_CODE: Final = Path(__file__)
_FAMILIES: Final = {"inet": 2, "inet6": 10, "unix": 1, "netlink": 16, "packet": 17, "vsock": 40}
_ALGORITHMS: Final = 38
ATTACKS: Final[dict[str, Attack]] = {
    # The network.
    **{f"socket {name}": _opens(family) for name, family in _FAMILIES.items()},
    "socket algorithms": lambda p: socket.socket(_ALGORITHMS, socket.SOCK_SEQPACKET),
    "connect": lambda p: socket.create_connection(("127.0.0.1", 1), timeout=1),
    "datagram pair": lambda p: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM),
    "io_uring": lambda p: _called("syscall", 425, 1, ctypes.create_string_buffer(120)),
    # Files.
    "read passwd": lambda p: Path("/etc/passwd").read_bytes(),
    "read a stranger's file": lambda p: Path(p.victim).read_bytes(),
    "write a stranger's file": lambda p: Path(p.victim).write_text("mine"),
    "cut a stranger's file": lambda p: os.truncate(p.victim, 0),
    "open a stranger's file": lambda p: Path(p.victim).chmod(0o666),
    "touch a stranger's file": lambda p: os.utime(p.victim, (0, 0)),
    "mark a stranger's file": lambda p: os.setxattr(p.victim, "user.x", b"x"),
    "remove a stranger's file": lambda p: Path(p.victim).unlink(),
    "take a stranger's file": lambda p: Path(p.victim).rename("taken"),
    "link a stranger's file": lambda p: Path("linked").hardlink_to(p.victim),
    "give a stranger a file": lambda p: Path("given").rename(p.victim),
    "list strangers": lambda p: list(Path(p.victim).parent.iterdir()),
    "list the steps": lambda p: list(Path.cwd().parent.iterdir()),
    "list the root": lambda p: list(Path("/").iterdir()),
    "write the temporary directory": lambda p: Path("/tmp/x").write_text("x"),
    "write shared memory": lambda p: Path("/dev/shm/x").write_text("x"),
    "write code": lambda p: _CODE.with_suffix(".new").touch(),
    "open code": lambda p: os.fchmod(os.open(_CODE, os.O_RDONLY), 0o666),
    "link code": lambda p: Path("code").hardlink_to(_CODE),
    "symbolic link": lambda p: Path("link").symlink_to("/etc/passwd"),
    "pipe": lambda p: os.mkfifo("pipe"),
    "device": lambda p: os.mknod("device", 0o600 | 0o020000, os.makedev(1, 1)),
    "watch strangers": lambda p: _called("inotify_init"),
    "change the root": lambda p: os.chroot("."),
    "mount": lambda p: _called("mount", b"none", b".", b"tmpfs", 0, None),
    "big file": _big_file,
    # Other processes.
    "the worker's environment": lambda p: Path(f"/proc/{p.worker}/environ").read_bytes(),
    "the worker's memory": lambda p: os.open(f"/proc/{p.worker}/mem", os.O_RDONLY),
    "the worker's descriptors": lambda p: list(Path(f"/proc/{p.worker}/fd").iterdir()),
    "own memory": lambda p: os.open("/proc/self/mem", os.O_RDWR),
    "first environment": lambda p: Path("/proc/1/environ").read_bytes(),
    "signal the worker": lambda p: os.kill(p.worker, 0),
    "signal the parent": lambda p: os.kill(os.getppid(), 0),
    "signal everybody": lambda p: os.kill(-1, signal.SIGCONT),
    "signal a thread": lambda p: _called("tgkill", p.worker, p.worker, 0),
    "signal by descriptor": _signal_by_descriptor,
    "hold the worker": lambda p: os.pidfd_open(p.worker),
    "trace the worker": lambda p: _called("ptrace", 0x4206, p.worker, None, None),
    "read the worker": _process_vm,
    "limit the worker": lambda p: resource.prlimit(p.worker, resource.RLIMIT_CORE),
    "slow the worker": lambda p: os.setpriority(os.PRIO_PROCESS, p.worker, 19),
    "bind the worker": lambda p: os.sched_setaffinity(p.worker, {0}),
    "outlive the worker": lambda p: _called("prctl", 1, 0, 0, 0, 0),
    "fork": _forked,
    "spawn": _spawned,
    "program": lambda p: subprocess.run(["true"], check=True),
    "replace itself": lambda p: os.execv("/bin/true", ["true"]),
    # What is shared by name, or counted by nobody.
    "shared memory": lambda p: _called("shmget", 0x1234, 4096, 0o1600),
    "semaphores": lambda p: _called("semget", 0x1234, 1, 0o1600),
    "messages": lambda p: _called("msgget", 0x1234, 0o1600),
    "nobody's memory": lambda p: mmap.mmap(-1, 4096),
    "a file of memory": lambda p: os.memfd_create("x"),
    "many descriptors": _many_descriptors,
    "found descriptors": _found_descriptors,
    "higher limits": _raised,
    # The kernel.
    "namespace": lambda p: _called("unshare", 0x10000000),
    "another's namespace": lambda p: _called("setns", 3, 0),
    "another user": lambda p: os.setuid(12345),
    "keys": lambda p: _called("syscall", 250, 0, -3, 1),
    "kernel log": lambda p: _called("klogctl", 3, None, 0),
    "kernel program": lambda p: _called("syscall", 321, 0, None, 0),
    "faults": lambda p: _called("syscall", 323, 1),
    "terminal": lambda p: fcntl.ioctl(1, 0x5412, b"x"),
    "environment": _private,
}


def _worked(attack: Attack, parameters: Parameters) -> bool:
    Path("given").touch()
    try:
        attack(parameters)
    except (OSError, ValueError):
        return False
    return True


def _threads(parameters: Parameters, context: NodeContext) -> None:
    threading.stack_size(64 << 10)
    while True:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


def _disk(parameters: Parameters, context: NodeContext) -> None:
    """Small files, each removed at once: what counts is what is written."""
    much = bytes(16 << 20)
    while True:
        Path("much").write_bytes(much)


def _deep(parameters: Parameters, context: NodeContext) -> None:
    """Deeper than Python can go, and closed to those who would look."""
    for _ in range(1_200):
        Path("d").mkdir()
        os.chdir("d")
    Path("closed").mkdir(mode=0o300)
    Path("closed/file").touch()


def _speaks(text: bytes, *, length: int | None = None, end: bool = False) -> Deed:
    def speak(parameters: Parameters, context: NodeContext) -> None:
        with socket.socket(fileno=os.dup(3)) as channel:
            channel.sendall((len(text) if length is None else length).to_bytes(4, "big") + text)
        if not end:
            time.sleep(60)

    return speak


def _many(parameters: Parameters, context: NodeContext) -> None:
    """Small on the way, a gigabyte in memory."""
    _speaks(b"[" + b"[]," * 15_000_000 + b"[]]")(parameters, context)


def _lives(parameters: Parameters, context: NodeContext) -> None:
    """What an honest step does."""
    threading.Thread(target=_libc.getpid).start()
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("x")
        assert Path(file.name).parent == Path.cwd() == context.work_directory
    Path("a").mkdir()
    Path("a/b").write_text("x")
    Path("a/b").rename("b")
    assert "sqlite3" not in sys.modules
    __import__("sqlite3").connect("base.sqlite").execute("CREATE TABLE x (y)")
    os.kill(os.getpid(), 0)


DEEDS: Final[dict[str, Deed]] = {
    "lives": _lives,
    "threads": _threads,
    "disk": _disk,
    "deep": _deep,
}
WORDS: Final[dict[str, Deed]] = {
    "no json": _speaks(b"{"),
    "no object": _speaks(b"[]"),
    "no host": _speaks(b'{"op": ["put"]}'),
    "odd refusal": _speaks(b'{"op": "failed", "details": 7, "retryAfter": "x", "code": []}'),
    "odd delay": _speaks(b'{"op": "failed", "code": "X", "retryAfter": NaN}'),
    "odd crash": _speaks(b'{"op": "crashed", "trace": 7}'),
    "odd outputs": _speaks(b'{"op": "done", "outputs": [1]}'),
    "costly": lambda parameters, context: context.cost(10**30),
    "costly by word": _speaks(b'{"op": "cost", "amount": 1e30, "currency": "USD"}', end=True),
    "far": lambda parameters, context: context.progress(10**30, 10**40),
    "unstorable": _speaks(rb'{"op": "done", "outputs": {"value": "\u0000\ud800"}}'),
    "unstorable refusal": _speaks(rb'{"op": "failed", "code": "\u0000", "message": "\ud800"}'),
    "unstorable number": _speaks(b'{"op": "done", "outputs": {"value": 1' + b"0" * 4000 + b"}}"),
    "infinite": _speaks(b'{"op": "done", "outputs": {"value": Infinity}}'),
    "deep words": _speaks(b'{"op": "log", "fields": ' + b"[" * 900 + b"]" * 900 + b"}", end=True),
    "unstorable log": lambda parameters, context: context.log.info("\x00\ud800", **{"\x00": 1}),
    "unstorable metric": lambda parameters, context: context.metric("\x00\ud800", 1e308),
    "too many": _many,
    "too large": _speaks(b"{}", length=0xFFFFFFFF),
}


@node(
    "hostile.sandbox",
    version=1,
    title="Hostile",
    effect=Effect.PURE,
    example=Example(),
    isolation=Isolation.SANDBOX,
    resources=Resources(memory="100Mi"),
    inputs={"value": PortSpec(type=Port.ANY, required=False)},
    outputs={"value": Port.JSON},
)
def hostile(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    deed = (DEEDS | WORDS).get(parameters.attack)
    if deed is not None:
        deed(parameters, context)
        return {"value": str(context.work_directory)}
    chosen = [parameters.attack] if parameters.attack else sorted(ATTACKS)
    return {"value": [name for name in chosen if _worked(ATTACKS[name], parameters)]}
