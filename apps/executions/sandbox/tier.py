"""How strongly sandboxed code is held on this machine, and the launcher that holds it so."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
import weakref
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path

from apps.executions import seccomp
from apps.executions.sandbox.limits import SandboxCode, SandboxError

_PROBE_SECONDS = 10
_TEMPORARY = "/tmp"  # noqa: S108 - an empty one, inside


class Tier(StrEnum):
    """From weaker to stronger."""

    PROCESS = "process"
    BUBBLEWRAP = "bubblewrap"


@dataclass(frozen=True)
class TierReport:
    """What was found; `reason` says why it is not stronger."""

    tier: Tier
    reason: str
    bwrap: str | None = None


@dataclass
class Launcher:
    """The command that starts one interpreter process; owns the private directory it lives in."""

    command: str | None
    directory: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.directory is not None:
            weakref.finalize(self, self.directory.cleanup)


@cache
def detect() -> TierReport:
    """The strongest tier that works here, proven by starting one process in it."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return TierReport(Tier.PROCESS, "bubblewrap is not installed: apt-get install bubblewrap")
    if not seccomp.supported():
        return TierReport(Tier.PROCESS, "no system call filter for this processor")
    problem = _probe(bwrap)
    if problem is not None:
        return TierReport(Tier.PROCESS, f"bubblewrap does not start here: {problem}")
    return TierReport(Tier.BUBBLEWRAP, "own namespaces, no network, system calls filtered", bwrap)


def launcher(report: TierReport, *, binary: str) -> Launcher:
    """How to start `binary` in that tier; the bare binary for the weakest."""
    match report.tier:
        case Tier.PROCESS:
            return Launcher(None)
        case Tier.BUBBLEWRAP:
            return _wrapped(report, binary=binary)


def require(wanted: Tier) -> TierReport:
    """The report when the machine gives at least that tier; otherwise refuse, never weaken."""
    found = detect()
    if wanted is Tier.BUBBLEWRAP and found.tier is not Tier.BUBBLEWRAP:
        raise SandboxError(
            SandboxCode.SANDBOX_UNAVAILABLE,
            f"The sandbox tier 'bubblewrap' is required but not available: {found.reason}.",
        )
    return found


def _wrapped(report: TierReport, *, binary: str) -> Launcher:
    directory = tempfile.TemporaryDirectory(prefix="nstarx-sandbox-")
    root = Path(directory.name)
    bpf = root / "filter.bpf"
    bpf.write_bytes(seccomp.program())
    script = root / "run"
    inner = _arguments(str(report.bwrap), binary=binary)
    script.write_text(f'#!/bin/sh\nexec {shlex.join(inner)} "$@" 9<{shlex.quote(str(bpf))}\n')
    script.chmod(0o700)
    return Launcher(str(script), directory)


def _arguments(bwrap: str, *, binary: str) -> list[str]:
    arguments = [
        bwrap,
        "--seccomp",
        "9",
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
    ]
    arguments += ["--clearenv", "--ro-bind", binary, "/program"]
    for library in ("/lib", "/lib64", "/usr/lib", "/usr/lib64"):
        arguments += ["--ro-bind-try", library, library]
    arguments += ["--tmpfs", _TEMPORARY, "--remount-ro", "/", "--cap-drop", "ALL"]
    return [*arguments, "--uid", "65534", "--gid", "65534", "--chdir", "/", "/program"]


def _probe(bwrap: str) -> str | None:
    binary = shutil.which("true") or "/bin/true"
    wrapped = _wrapped(TierReport(Tier.BUBBLEWRAP, "", bwrap), binary=binary)
    try:
        done = subprocess.run(
            [str(wrapped.command)],
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    if done.returncode == 0:
        return None
    return done.stderr.decode(errors="replace").strip()[:200] or f"exit {done.returncode}"
