"""Which system calls a sandboxed process may not make, as a classic BPF program."""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass

# name: (x86_64, aarch64); None where the call does not exist.
_DENIED: dict[str, tuple[int | None, int | None]] = {
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
_CLONE = (56, 220)
_CLONE3 = 435
_NEW_NAMESPACES = 0x7E020000
_X32_BIT = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16


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


def program(machine_name: str | None = None) -> bytes:
    """The filter: what is listed fails with EPERM, clone3 with ENOSYS, the rest passes.

    It denies instead of allowing, and never kills: an allow-list breaks with the next libc, and a
    kill looks like a crash of the sandbox.
    """
    machine = _MACHINES[machine_name or platform.machine()]
    refused = struct.pack("<HBBI", _RETURN, 0, 0, _ERRNO | errno.EPERM)
    out = [
        _instruction(_LOAD, _ARCH),
        _instruction(_EQUAL, machine.audit, 1, 0),
        refused,
        _instruction(_LOAD, _NUMBER),
    ]
    if machine.column == 0:
        out += [_instruction(_AT_LEAST, _X32_BIT, 0, 1), refused]
    for numbers in _DENIED.values():
        number = numbers[machine.column]
        if number is not None:
            out += [_instruction(_EQUAL, number, 0, 1), refused]
    out += [
        _instruction(_EQUAL, _CLONE3, 0, 1),
        _instruction(_RETURN, _ERRNO | errno.ENOSYS),
        _instruction(_EQUAL, _CLONE[machine.column], 0, 3),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(_ANY_BIT, _NEW_NAMESPACES, 0, 1),
        refused,
        _instruction(_RETURN, _ALLOW),
    ]
    return b"".join(out)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
