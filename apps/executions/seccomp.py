"""Which system calls a sandboxed process may not make, as a classic BPF program."""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

# name: (x86_64, aarch64); None where the call does not exist.
_DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    "socket": (41, 198),
    "connect": (42, 203),
    "fork": (57, None),
    "vfork": (58, None),
    "ptrace": (101, 117),
    "mknod": (133, None),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "mount": (165, 40),
    "umount2": (166, 39),
    "init_module": (175, 105),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "mknodat": (259, 33),
    "unshare": (272, 97),
    "perf_event_open": (298, 241),
    "open_by_handle_at": (304, 265),
    "setns": (308, 268),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "finit_module": (313, 273),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "pidfd_getfd": (438, 438),
    "memfd_secret": (447, 447),
}
# What a confined step may not do besides: reach others of its user, or what Landlock leaves open.
_CONFINED: Final[dict[str, tuple[int | None, int | None]]] = {
    # Programs.
    "execve": (59, 221),
    "execveat": (322, 281),
    "personality": (135, 92),
    "modify_ldt": (154, None),
    # Memory that is nobody's: shared by name, or held by a descriptor alone.
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "memfd_create": (319, 279),
    # Files by path or owner, not by the right to write them.
    "truncate": (76, 45),
    "fallocate": (285, 47),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "name_to_handle_at": (303, 264),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    # Processes of the same user, and the machine.
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "syslog": (103, 116),
    "bind": (49, 200),
    "listen": (50, 201),
}
_CLONE: Final = (56, 220)
_CLONE3: Final = 435
_NEW_NAMESPACES: Final = 0x7E020000
_CLONE_THREAD: Final = 0x10000
_X32_BIT: Final = 0x40000000
_MMAP: Final = (9, 222)
_SHARED_MEMORY: Final = 0x21
"""MAP_SHARED of no file: the one memory that is not counted as the process's own."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16


class _Rule(NamedTuple):
    """One call that is judged by the low half of one argument: the kernel takes no more of it."""

    numbers: tuple[int, int]
    argument: int
    values: tuple[int, ...]
    is_allowed: bool
    """Whether the values are all that is allowed, or all that is refused."""


_STREAM_PAIRS: Final = (1, 1 | 0x800, 1 | 0x80000, 1 | 0x80800)
"""SOCK_STREAM with its flags: a pair of datagram sockets could still send to any address."""
_IOCTLS: Final = (0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""Is it a terminal, how wide; how much is there to read; blocking; closed on exec."""
_FCNTLS: Final = (8, 10, 15, 1024, 1026)
"""Whom to signal with what when a descriptor is ready; leases; watching a directory."""
_PRCTLS: Final = (1, 4)
"""To live on when the parent is dead; to hide from who measures."""
_RULES: Final = (
    _Rule((53, 199), 1, _STREAM_PAIRS, is_allowed=True),
    _Rule((16, 29), 1, _IOCTLS, is_allowed=True),
    _Rule((72, 25), 1, _FCNTLS, is_allowed=False),
    _Rule((157, 167), 0, _PRCTLS, is_allowed=False),
)
_OF_ITSELF: Final = {
    "kill": (62, 129),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
}
"""A process of the same user is their first argument; 0 is the caller, or its own group."""


@dataclass(frozen=True)
class Machine:
    """What differs between the supported processors."""

    audit: int
    column: int


_MACHINES = {
    "x86_64": Machine(audit=0xC000003E, column=0),
    "aarch64": Machine(audit=0xC00000B7, column=1),
}


def supported() -> bool:
    """Whether a filter can be built for this processor."""
    return platform.machine() in _MACHINES


def program(machine_name: str | None = None, *, confined: int | None = None) -> bytes:
    """The filter: what is listed fails with EPERM, clone3 with ENOSYS, the rest passes.

    It denies instead of allowing, and never kills: an allow-list breaks with the next libc, and a
    kill looks like a crash of the sandbox. `confined` is the id of the process that gives up more:
    it starts no other, touches no other, and signals itself alone.
    """
    machine = _MACHINES[machine_name or platform.machine()]
    column = machine.column
    out = [
        _instruction(_LOAD, _ARCH),
        _instruction(_EQUAL, machine.audit, 1, 0),
        _REFUSED,
        _instruction(_LOAD, _NUMBER),
    ]
    if column == 0:
        out += [_instruction(_AT_LEAST, _X32_BIT, 0, 1), _REFUSED]
    denied = _DENIED if confined is None else _DENIED | _CONFINED
    for numbers in denied.values():
        number = numbers[column]
        if number is not None:
            out += [_instruction(_EQUAL, number, 0, 1), _REFUSED]
    if confined is not None:
        own = (_Rule(call, 0, (0, confined), is_allowed=True) for call in _OF_ITSELF.values())
        for rule in (*_RULES, *own):
            out += _judged(rule, column=column)
        out += [
            _instruction(_EQUAL, _MMAP[column], 0, 5),
            _instruction(_LOAD, _ARGUMENTS + 8 * 3),
            _instruction(_AND, _SHARED_MEMORY),
            _instruction(_EQUAL, _SHARED_MEMORY, 0, 1),
            _REFUSED,
            _PASSED,
        ]
    out += [
        _instruction(_EQUAL, _CLONE3, 0, 1),
        _instruction(_RETURN, _ERRNO | errno.ENOSYS),
        _instruction(_EQUAL, _CLONE[column], 0, 3 if confined is None else 5),
        _instruction(_LOAD, _ARGUMENTS),
        _instruction(_ANY_BIT, _NEW_NAMESPACES, 0, 1),
        _REFUSED,
    ]
    if confined is not None:
        # Threads, but no processes.
        out += [_instruction(_ANY_BIT, _CLONE_THREAD, 1, 0), _REFUSED]
    return b"".join([*out, _PASSED])


def _judged(rule: _Rule, *, column: int) -> Iterator[bytes]:
    """Every path through it returns: the accumulator no longer holds the call's number."""
    listed, others = (_PASSED, _REFUSED) if rule.is_allowed else (_REFUSED, _PASSED)
    count = len(rule.values)
    yield _instruction(_EQUAL, rule.numbers[column], 0, count + 3)
    yield _instruction(_LOAD, _ARGUMENTS + 8 * rule.argument)
    for index, value in enumerate(rule.values):
        yield _instruction(_EQUAL, value, count - index, 0)
    yield others
    yield listed


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


_PASSED: Final = _instruction(_RETURN, _ALLOW)
_REFUSED: Final = _instruction(_RETURN, _ERRNO | errno.EPERM)
