"""What a confined step gives up in its process, for good, before any of its code is loaded.

Files by Landlock: code to read, its own directory to write, nothing else. System calls by seccomp:
no socket, no program, no process, no signal but to itself. No capability, no new privilege. All of
it is the kernel's and needs no rights, so it holds for root and for an ordinary user alike.
"""

from __future__ import annotations

import ctypes
import os
import resource
import stat
import struct
from enum import IntFlag
from pathlib import Path
from typing import Final

from apps.executions import seccomp
from apps.executions.runner.process import readable


class Access(IntFlag):
    """Landlock's names for what can be done to a file."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    REFER = 1 << 13
    TRUNCATE = 1 << 14


_READ: Final = Access.READ_FILE | Access.READ_DIR
# No link, pipe or socket: the worker opens files of this directory by name.
_OWN: Final = (
    _READ
    | Access.WRITE_FILE
    | Access.TRUNCATE
    | Access.REFER
    | Access.MAKE_DIR
    | Access.MAKE_REG
    | Access.REMOVE_DIR
    | Access.REMOVE_FILE
)
_OF_A_FILE: Final = Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE
_DEVICES: Final = {"/dev/null": _READ | Access.WRITE_FILE, "/dev/urandom": _READ}

_RIGHTS_OF_VERSION: Final = {1: 13, 2: 14, 3: 15, 4: 15}
_MOST_RIGHTS: Final = 16
_TCP: Final = 0b11
_SCOPES: Final = 0b11
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_FILTER = 22, 38, 2
_CAPABILITIES_V3: Final = 0x20080522

_FILE_BYTES: Final = 256 << 20
_DESCRIPTORS: Final = 128
_SPARE_BYTES: Final = 128 << 20
"""What is written to is counted exactly from outside; this is the kernel's bound beyond it."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


def problem() -> str | None:
    """Why no step can be confined here, as far as the kernel tells by itself."""
    if not seccomp.supported():
        return "there is no system call filter for this processor"
    if version() < 1:
        return "this kernel has no Landlock, or it is switched off (Linux 5.13 and later have it)"
    return None


def version() -> int:
    """Which Landlock the kernel speaks; below 1 none."""
    return int(_libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION))


def lock_down(directory: str, *, memory: int) -> None:
    """Confine this process, its one thread and all that it will start; raises OSError.

    `memory` bounds what it may allocate from here on.
    """
    missing = problem()
    if missing is not None:
        raise OSError(missing)
    _limit(memory)
    _require(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    _restrict_files(directory)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITIES_V3, 0))
    nothing = ctypes.create_string_buffer(24)
    _require(_libc.capset(header, nothing), "capabilities")
    _restrict_calls()


def _limit(memory: int) -> None:
    for limit, wanted in (
        (resource.RLIMIT_DATA, _data_bytes() + memory + _SPARE_BYTES),
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (value, value))


def _data_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    raise OSError("the kernel does not tell how much memory is in use")


def _restrict_files(directory: str) -> None:
    spoken, own = version(), Path(directory).resolve()
    handled = (1 << _RIGHTS_OF_VERSION.get(spoken, _MOST_RIGHTS)) - 1
    words = [handled]
    if spoken >= 4:
        words.append(_TCP)
    if spoken >= 6:
        words.append(_SCOPES)
    attributes = struct.pack(f"={len(words)}Q", *words)
    rules = _libc.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    _require(rules, "Landlock")
    try:
        _allow(rules, directory, _OWN & handled)
        for place in map(Path, readable.paths()):
            # What holds the directories of all steps, too, is no place of code.
            if place.exists() and not own.is_relative_to(place.resolve()):
                _allow(rules, str(place), _READ)
        for path, access in _DEVICES.items():
            _allow(rules, path, access)
        _require(_libc.syscall(_RESTRICT, rules, 0), "Landlock")
    finally:
        os.close(rules)


def _allow(rules: int, path: str, access: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            access &= _OF_A_FILE
        rule = struct.pack("=Qi", access, place)
        _require(_libc.syscall(_ADD, rules, _PATH_BENEATH, rule, 0), f"Landlock for {path}")
    finally:
        os.close(place)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _restrict_calls() -> None:
    filter_ = seccomp.program(confined=os.getpid())
    program = _Program(len(filter_) // 8, filter_)
    done = _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, ctypes.byref(program), 0, 0)
    _require(done, "the system call filter")


def _require(result: int, what: str) -> None:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
