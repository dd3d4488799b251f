"""A step of the sandbox against its walls: nothing it tries gets out, and what is honest works."""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from apps.executions import process
from apps.executions.runner.directory import StepDirectories, WorkDirectory
from apps.executions.runner.process import battery, lockdown, readable
from apps.executions.runner.process.endings import Ended, Ending
from apps.executions.runner.process.pool import ProcessPool
from apps.workflows.graph.declaration import node_type_of
from tests.nodes import hostile_nodes, sample_nodes
from tests.nodes.confined import needs_walls
from tests.nodes.conftest import Bench

HOSTILE = node_type_of(hostile_nodes.hostile)
SANDBOX = node_type_of(sample_nodes.sandbox)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    file = tmp_path / "of another tenant"
    file.write_text("private")
    return file


def test_its_pool_is_the_sandbox() -> None:
    assert HOSTILE.pool == "sandbox"


@needs_walls
@pytest.mark.parametrize("attack", sorted(hostile_nodes.ATTACKS))
def test_no_attack_works(
    node_bench: Bench, victim: Path, attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://owner:password@localhost/db")
    before = victim.stat()
    told = {"attack": attack, "worker": os.getpid(), "victim": str(victim)}

    worked = node_bench.done(HOSTILE, told).outputs["value"]

    assert worked == []
    after = victim.stat()
    assert (victim.read_text(), after.st_mode, after.st_mtime_ns, after.st_nlink) == (
        "private",
        before.st_mode,
        before.st_mtime_ns,
        1,
    )


@needs_walls
def test_an_honest_step_finds_what_it_needs(node_bench: Bench) -> None:
    directory = node_bench.done(HOSTILE, {"attack": "lives"}).outputs["value"]

    assert not Path(directory).exists()


@needs_walls
def test_a_directory_is_removed_whatever_was_built_in_it(node_bench: Bench) -> None:
    directory = node_bench.done(HOSTILE, {"attack": "deep"}).outputs["value"]

    assert not Path(directory).exists()


@needs_walls
def test_two_steps_share_no_process(node_bench: Bench) -> None:
    first, second = (
        node_bench.done(SANDBOX, {"mode": "loaded"}).outputs["value"] for _ in range(2)
    )

    # Their module was loaded by each of them, behind its walls, and by nobody before.
    assert first["by"] == first["here"] != second["by"] == second["here"]
    assert (first["calls"], second["calls"]) == (1, 1)


@needs_walls
@pytest.mark.parametrize(
    ("speech", "code"),
    [
        ("no json", "PROCESS_DIED"),
        ("no object", "PROCESS_DIED"),
        ("too large", "PROCESS_DIED"),
        ("too many", "PROCESS_DIED"),
        ("odd refusal", "[]"),
        ("odd delay", "X"),
        ("odd crash", "NODE_CRASHED"),
        ("odd outputs", "OUTPUT_INVALID"),
        ("no host", "STEP_TIMEOUT"),
    ],
)
def test_a_forged_message_is_the_steps_own_failure(
    node_bench: Bench, speech: str, code: str
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    failed = node_bench.failed(HOSTILE, {"attack": speech}, seconds=5)

    assert failed.code == code
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 << 10
    assert failed.retry_after_seconds is None or math.isfinite(failed.retry_after_seconds)
    assert node_bench.done(HOSTILE, {"attack": "fork"}).outputs["value"] == []


@needs_walls
@pytest.mark.parametrize(("deed", "what"), [("threads", "128 threads"), ("disk", "2 GiB")])
def test_what_the_kernel_has_no_limit_for_is_bounded(
    node_bench: Bench, deed: str, what: str
) -> None:
    failed = node_bench.failed(HOSTILE, {"attack": deed})

    assert failed.code == "LIMIT_EXCEEDED"
    assert what in failed.message


OLDER_KERNEL = """
import os, sys, tempfile
from pathlib import Path
from apps.executions.runner.process import lockdown
from tests.nodes import hostile_nodes

version = int(sys.argv[1])
lockdown.version = lambda: version
victim = Path(tempfile.mkdtemp(), "victim")
victim.write_text("private")
os.chdir(tempfile.mkdtemp())
os.environ.clear()
os.closerange(3, 256)
told = hostile_nodes.Parameters(worker=int(sys.argv[2]), victim=str(victim))
reading, writing = os.pipe()
pid = os.fork()
if pid == 0:
    os.dup2(writing, 3)
    os.closerange(4, 256)
    os.setsid()
    lockdown.lock_down(os.getcwd(), memory=100 << 20)
    attacks = sorted(hostile_nodes.ATTACKS.items())
    worked = [name for name, attack in attacks if hostile_nodes._worked(attack, told)]
    os.write(3, repr(worked).encode())
    os._exit(0)
os.close(writing)
os.waitpid(pid, 0)
print(os.read(reading, 4096).decode(), victim.read_text())
"""


@needs_walls
@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
def test_an_older_landlock_holds_as_well(version: int) -> None:
    if version > lockdown.version():
        pytest.skip(f"this kernel has no version {version}")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OLDER_KERNEL, str(version), str(os.getpid())],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.strip() == "[] private"


@needs_walls
def test_this_machine_proves_its_walls() -> None:
    assert battery.verdict() is None


def test_the_proof_fails_where_there_are_no_walls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    directories = StepDirectories()
    own = WorkDirectory(directories)
    beside = own.path / "beside"
    beside.write_text("of another step")
    pool = ProcessPool(directories)
    told = {"worker": os.getpid(), "beside": str(beside)}

    job = battery._job(own, parameters=told, confined=False)
    ended = pool.run(job, serve=lambda message: None, stopped=lambda: None)
    pool.close()
    directories.remove()

    problem = battery._judged(ended)
    assert problem is not None
    assert "read another step's file" in problem
    assert "start a process" in problem


@pytest.mark.parametrize("ending", [Ending.DIED, Ending.TIMEOUT])
def test_a_proof_without_an_end_decides_nothing(ending: Ending) -> None:
    with pytest.raises(battery.UndecidedError):
        battery._judged(Ended(ending=ending, message={}))


def test_who_can_do_nothing_is_no_sandbox() -> None:
    message = {"outputs": {"out": [], "own": False}}

    assert battery._judged(Ended(ending=Ending.DONE, message=message)) is not None


def test_where_somebody_started_the_worker_is_no_place_of_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")

    assert str(tmp_path) not in readable.search_path()
    assert str(Path(__file__).parents[2]) in readable.search_path()


def test_an_operator_reads_why_a_worker_refuses(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(battery, "_verdicts", ["a confined step could fly"])

    process._prove_sandbox()

    assert "a confined step could fly" in caplog.text


WITHOUT_LANDLOCK = """
import ctypes, errno, struct
import django
django.setup()
from apps.executions.runner.local import LocalRunner
from apps.workflows.graph.declaration import node_type_of
from tests.nodes import sample_nodes
from tests.nodes.doubles import Logs, Stop, Surroundings, step_call

# A kernel without Landlock, as far as this process can tell.
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x50000 | errno.ENOSYS)]
filter_ = b"".join(struct.pack("<HBBI", *one) for one in [*steps, (0x06, 0, 0, 0x7FFF0000)])
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(4, filter_)), 0, 0) == 0
runner = LocalRunner(doors=Surroundings().doors)
call = step_call(node_type_of(sample_nodes.sandbox), configuration={})
outcome = runner.run(call, stop=Stop(), logs=Logs())
print(outcome.code, outcome.retryable, outcome.message, sep="|")
runner.close()
"""


def test_a_kernel_that_cannot_confine_gets_no_step() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT_LANDLOCK],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    code, retryable, message = done.stdout.strip().split("|")
    assert (code, retryable) == ("SANDBOX_UNAVAILABLE", "False")
    assert "Landlock" in message
