"""The expression sandbox stands the attacks it was built for, and the next evaluation works."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from apps.executions import seccomp
from apps.executions.sandbox import (
    EXPRESSION_LIMITS,
    SCRIPT_LIMITS,
    Sandbox,
    SandboxCode,
    SandboxError,
    Tier,
    detect,
)

# A busy machine may be slow; the limit is what is tested, not its size.
LIMITS = replace(EXPRESSION_LIMITS, seconds=0.5)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    one = Sandbox(processes=2)
    yield one
    one.close()


def test_a_batch_of_expressions_gives_their_json_values(sandbox: Sandbox) -> None:
    scope = {
        "nodes": {"score": {"metrics": {"f1": 0.97}}},
        "parameters": {"floor": 0.95},
    }
    expressions = (
        "nodes['score']['metrics']['f1'] > parameters['floor']",
        "[1, 2.5, None, 'é', {'a': (1, 2)}]",
        "sum(x for x in range(4))",
    )

    assert sandbox.evaluate(expressions, scope=scope) == (
        True,
        [1, 2.5, None, "é", {"a": [1, 2]}],
        6,
    )


def test_no_expression_costs_no_process() -> None:
    one = Sandbox()

    assert one.evaluate((), scope={}) == ()
    assert one._started is None


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        ("[0 for a in range(10**9) if a < 0]", SandboxCode.EXPRESSION_TIMEOUT),
        (
            "[sum(range(10**5)) for a in range(10**5)][0]",
            SandboxCode.EXPRESSION_TIMEOUT,
        ),
        ("'a' * 10**12", SandboxCode.EXPRESSION_MEMORY),
        ("[list(range(10**6)) for _ in range(10**6)]", SandboxCode.EXPRESSION_MEMORY),
        ("2 ** (10**10)", SandboxCode.EXPRESSION_MEMORY),
        ("'x' * (300 * 1024)", SandboxCode.EXPRESSION_TOO_LARGE),
        ("+".join(["1"] * 300_000), SandboxCode.EXPRESSION_TOO_LARGE),
        ("+".join(["1"] * 20_000), SandboxCode.EXPRESSION_FAILED),
        ("(" * 5_000 + "1" + ")" * 5_000, SandboxCode.EXPRESSION_FAILED),
        ("[" * 60 + "]" * 60, SandboxCode.EXPRESSION_TOO_LARGE),
        ("().__class__.__bases__[0].__subclasses__()", SandboxCode.EXPRESSION_FAILED),
        ("(lambda: 0).__globals__", SandboxCode.EXPRESSION_FAILED),
        ("(lambda: 0).__code__", SandboxCode.EXPRESSION_FAILED),
        ("'{0.__class__}'.format(1)", SandboxCode.EXPRESSION_FAILED),
        ("__import__('os').environ", SandboxCode.EXPRESSION_FAILED),
        ("open('/etc/passwd').read()", SandboxCode.EXPRESSION_FAILED),
        ("globals()", SandboxCode.EXPRESSION_FAILED),
        ("(lambda f: f(f))(lambda f: f(f))", SandboxCode.EXPRESSION_FAILED),
        ("float('nan')", SandboxCode.EXPRESSION_RESULT),
        ("1e999", SandboxCode.EXPRESSION_RESULT),
        ("{1, 2}", SandboxCode.EXPRESSION_FAILED),
        ("1 +", SandboxCode.EXPRESSION_FAILED),
        ("missing", SandboxCode.EXPRESSION_FAILED),
    ],
)
def test_an_attack_is_refused_and_the_sandbox_lives_on(
    sandbox: Sandbox, attack: str, code: SandboxCode
) -> None:
    with pytest.raises(SandboxError) as refused:
        sandbox.evaluate((attack,), scope={}, limits=LIMITS)

    assert refused.value.code is code
    assert sandbox.evaluate(("1 + 1",), scope={}) == (2,)


def test_a_catastrophic_regular_expression_does_not_hang(sandbox: Sandbox) -> None:
    source = "import re\nresult = re.match('(a+)+$', 'a' * 40 + 'b') is None"

    assert sandbox.run_script(source, inputs={}).value is True


def test_an_overflowing_compiler_stack_is_a_typed_error_not_a_dead_host(
    sandbox: Sandbox,
) -> None:
    source = "result = eval('+'.join(['1'] * 300000))"

    with pytest.raises(SandboxError):
        sandbox.run_script(source, inputs={})

    assert sandbox.evaluate(("1 + 1",), scope={}) == (2,)


def test_the_failing_expression_of_a_batch_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError) as refused:
        sandbox.evaluate(("1", "'''a\nb'''", "parameters['x']"), scope={"parameters": {}})

    assert refused.value.index == 2


def test_evaluations_share_no_state(sandbox: Sandbox) -> None:
    sandbox.run_script("leak = 'of another tenant'\nresult = 1", inputs={})

    for _ in range(4):
        with pytest.raises(SandboxError, match="leak"):
            sandbox.evaluate(("leak",), scope={})


def test_data_is_never_evaluated_a_second_time(sandbox: Sandbox) -> None:
    scope = {"inputs": {"text": "{{ 1 + 1 }}"}}

    assert sandbox.evaluate(("inputs['text'] + ''",), scope=scope) == ("{{ 1 + 1 }}",)


def test_input_that_is_not_json_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError) as refused:
        sandbox.evaluate(("x",), scope={"x": object()})

    assert refused.value.code is SandboxCode.EXPRESSION_RESULT


def test_oversized_input_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError) as refused:
        sandbox.evaluate(("1",), scope={"x": "x" * (3 << 20)})

    assert refused.value.code is SandboxCode.EXPRESSION_TOO_LARGE


def test_a_script_reads_inputs_calls_the_host_and_prints(sandbox: Sandbox) -> None:
    source = "print('sum of', rows)\nresult = {'sum': sum(rows), 'twice': double(21)}"

    ran = sandbox.run_script(
        source,
        inputs={"rows": [1, 2, 3]},
        functions={"double": lambda number: number * 2},
    )

    assert ran.value == {"sum": 6, "twice": 42}
    assert ran.printed == "sum of [1, 2, 3]\n"


def test_a_script_without_a_result_says_what_to_do(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="end it with `result"):
        sandbox.run_script("x = 1", inputs={})


def test_a_script_error_names_its_line(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError) as refused:
        sandbox.run_script("x = 1\ny = [][3]\nresult = 1", inputs={})

    assert refused.value.line == 2


def test_a_print_flood_is_stopped(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError) as refused:
        sandbox.run_script("while True: print('x' * 1000)", inputs={})

    assert refused.value.code is SandboxCode.EXPRESSION_MEMORY


def test_swallowing_the_time_limit_does_not_help(sandbox: Sandbox) -> None:
    source = "try:\n  while True: pass\nexcept BaseException: pass\nresult = 1"

    with pytest.raises(SandboxError) as refused:
        sandbox.run_script(source, inputs={}, limits=replace(SCRIPT_LIMITS, seconds=0.2))

    assert refused.value.code is SandboxCode.EXPRESSION_TIMEOUT


def test_a_host_call_storm_is_stopped(sandbox: Sandbox) -> None:
    calls: list[int] = []

    with pytest.raises(SandboxError):
        sandbox.run_script("while True: tick(1)", inputs={}, functions={"tick": calls.append})

    assert len(calls) <= SCRIPT_LIMITS.calls + 10


def test_a_deep_result_never_reaches_the_host(sandbox: Sandbox) -> None:
    source = "result = []\nfor _ in range(100000): result = [result]"

    with pytest.raises(SandboxError):
        sandbox.run_script(source, inputs={})


def test_threads_may_share_it(sandbox: Sandbox) -> None:
    values: list[tuple[object, ...]] = []

    def work(number: int) -> None:
        values.append(sandbox.evaluate((f"{number} * 2",), scope={}))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(values) == [(number * 2,) for number in range(8)]


def test_the_strongest_tier_is_never_replaced_by_a_weaker_one_when_required() -> None:
    strict = Sandbox(tier=Tier.BUBBLEWRAP)

    if detect().tier is Tier.BUBBLEWRAP:
        assert strict.evaluate(("1",), scope={}) == (1,)
        strict.close()
    else:
        with pytest.raises(SandboxError) as refused:
            strict.evaluate(("1",), scope={})
        assert refused.value.code is SandboxCode.SANDBOX_UNAVAILABLE


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("confined", [None, 4711])
def test_the_system_call_filter_is_whole_instructions(machine: str, confined: int | None) -> None:
    program = seccomp.program(machine, confined=confined)

    assert len(program) % 8 == 0
    assert 20 < len(program) // 8 < 4096
