"""The walls around step processes: no network, no files but code, libraries and step directories.

Where bubblewrap works the zygote, and with it every step, lives in namespaces of its own;
elsewhere it is an ordinary process with an empty environment. The tier is found once and never
weakened silently.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from apps.executions import seccomp
from apps.executions.runner.process import readable
from apps.executions.sandbox.tier import Tier, TierReport
from apps.executions.sandbox.tier import detect as detect_sandbox

_PROBE_SECONDS = 15
_TEMPORARY = "/tmp"  # noqa: S108 - an empty one, inside


@cache
def detect() -> TierReport:
    """What holds step processes on this machine, proven by starting one."""
    found = detect_sandbox()
    if found.tier is Tier.PROCESS:
        return found
    with tempfile.TemporaryDirectory(prefix="nstarx-probe-") as directory:
        problem = _probe(str(found.bwrap), Path(directory))
    if problem is None:
        return found
    return TierReport(Tier.PROCESS, f"bubblewrap cannot hold step processes: {problem}")


def command(
    program: Sequence[str], *, bwrap: str, filter_descriptor: int, writable: Path
) -> list[str]:
    """The program behind the walls; `writable` is the one place it may write to."""
    walls = [bwrap, "--seccomp", str(filter_descriptor)]
    walls += ["--unshare-user", "--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    walls += ["--unshare-cgroup-try", "--die-with-parent", "--cap-drop", "ALL"]
    walls += ["--tmpfs", _TEMPORARY, "--proc", "/proc", "--dev", "/dev"]
    for path in readable.paths():
        walls += ["--ro-bind-try", path, path]
    walls += ["--bind", str(writable), str(writable), "--remount-ro", "/"]
    return [*walls, "--chdir", str(writable), *program]


def filter_file() -> int:
    """A descriptor to read the system call filter from; the caller closes it."""
    descriptor = os.memfd_create("filter", 0)
    os.write(descriptor, seccomp.program())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _probe(bwrap: str, directory: Path) -> str | None:
    descriptor = filter_file()
    try:
        done = subprocess.run(
            command(
                [shutil.which("true") or "/bin/true"],
                bwrap=bwrap,
                filter_descriptor=descriptor,
                writable=directory,
            ),
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
            pass_fds=(descriptor,),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    finally:
        os.close(descriptor)
    if done.returncode == 0:
        return None
    return done.stderr.decode(errors="replace").strip()[:200] or f"exit {done.returncode}"
