"""What is undone when a step fails or a run is canceled, and where the run goes on."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from apps.executions.engine.decide import CancelRequest
from apps.executions.engine.history import CancelReason
from apps.executions.engine.ports import StepCall, StepFailed, StepOutcome
from apps.executions.engine.slice_ports import Inbox, Left
from apps.executions.engine.state import RunStatus
from tests.engine.cases import failing, plan_of, statuses, types
from tests.engine.rescues import LINKS, SHOP, fallback, no, scripts, status, undo
from tests.engine.simulator import START, Script, World, echo
from tests.factories.graphs import a, to


def test_what_was_done_is_undone_in_reverse_order() -> None:
    seen: list[Any] = []

    def refund(call: StepCall) -> StepOutcome:
        seen.append((call.inputs, dict(call.upstream)))
        return failing(times=1, retryable=True)(call)

    world = World(plan_of(SHOP, LINKS), script=scripts(reserve=no("SOLD_OUT"), refund=refund))
    state = world.finish()
    assert state.status is RunStatus.FAILED
    assert state.error is not None
    assert state.error.code == "SOLD_OUT"
    assert types(world)[-10:] == [
        "step.failed reserve",
        "run.compensating",
        "step.called charge/refund",
        "step.attempt_failed charge/refund",
        "step.completed charge/refund",
        "step.compensated charge",
        "step.called order/withdraw",
        "step.completed order/withdraw",
        "step.compensated order",
        "run.failed",
    ]
    assert seen[0] == (
        {"value": "charge"},
        {"order": {"value": "order"}, "charge": {"value": "charge"}},
    )
    found = statuses(world)
    assert [found[name] for name in ("order", "charge", "reserve")] == [
        "COMPENSATED",
        "COMPENSATED",
        "FAILED",
    ]
    assert all(count == 1 for key, count in world.effects.items() if "refund" not in key)


def test_a_compensation_gets_the_inputs_of_what_it_undoes_where_no_output_has_their_name() -> None:
    nodes = [a("s"), a("b", "keyed", compensation="u"), a("f", onError=undo()), a("u", "keyed")]
    plan = plan_of(nodes, [to("s", "b.all"), to("b", "f")])
    world = World(plan, script=scripts(f=no()))
    state = world.finish()
    assert state.inputs_of(state.step("b/u")) == {"value": "b", "all": ["s"]}


def test_afterwards_the_run_goes_on_with_the_alternative_path() -> None:
    nodes = [*SHOP[:2], a("reserve", "keyed", onError=undo("rescue")), *SHOP[3:]]
    nodes += [a("rescue"), a("ship"), a("tell")]
    links = [*LINKS, to("reserve", "ship"), to("rescue", "tell"), to("ship", "tell.all")]
    links += [to("reserve.error", "rescue"), to("order", "rescue.all")]
    world = World(plan_of(nodes, links), script=scripts(reserve=no("SOLD_OUT")))
    state = world.finish()
    assert state.status is RunStatus.SUCCEEDED
    assert "run.compensated" in types(world)
    assert state.result() == {"tell": {"value": "tell"}}
    given: Any = state.inputs_of(state.step("rescue"))
    assert (given["value"]["code"], given["all"]) == ("SOLD_OUT", ["order"])
    assert status(world, "ship") == "CANCELED"
    assert {*state.upstream_of(state.step("tell"))} >= {"order", "rescue"}


def test_an_alternative_path_nobody_takes_is_skipped_and_holds_nobody_up() -> None:
    nodes = [a("a", onError=undo("rescue")), a("rescue"), a("after"), a("both")]
    links = [to("rescue", "after"), to("a", "both"), to("after", "both.all")]
    world = World(plan_of(nodes, links))
    assert world.finish().result() == {"both": {"value": "both"}}
    assert statuses(world)["rescue"] == statuses(world)["after"] == "SKIPPED"


def test_a_path_is_taken_once() -> None:
    nodes = [a("a", onError=undo("b")), a("b", onError=undo("b2")), a("b2", onError=undo("b"))]
    world = World(plan_of(nodes), script=scripts(a=no("A"), b=no("B"), b2=no("C")))
    state = world.finish()
    assert state.error is not None
    assert (state.status, state.error.code) == (RunStatus.FAILED, "C")
    assert types(world).count("run.compensated") == 2


def test_a_compensation_that_fails_ends_the_run_with_a_list_of_what_is_not_undone() -> None:
    script = scripts(reserve=no("SOLD_OUT"), refund=no("BANK_CLOSED"))
    world = World(plan_of(SHOP, LINKS), script=script)
    state = world.finish()
    assert state.status is RunStatus.FAILED
    assert state.error is not None
    assert state.error.code == "COMPENSATION_FAILED"
    assert state.error.details == {
        "notUndone": ["charge", "order"],
        "count": 2,
        "cut": True,
    }
    assert "SOLD_OUT" in state.error.message
    assert not world.ran("order/withdraw")


def test_a_compensation_that_may_fail_lets_the_others_be_undone() -> None:
    nodes = [*SHOP[:4], a("refund", "keyed", onError="continue")]
    script = scripts(reserve=no("SOLD_OUT"), refund=no("BANK_CLOSED"))
    world = World(plan_of(nodes, LINKS), script=script)
    state = world.finish()
    assert state.error is not None
    assert state.error.details == {"notUndone": ["charge"], "count": 1}
    assert status(world, "order") == "COMPENSATED"
    assert status(world, "charge") == "SUCCEEDED"


def test_a_compensation_may_have_a_fallback() -> None:
    nodes = [*SHOP[:4], a("refund", "keyed", onError=fallback("voucher")), a("voucher", "keyed")]
    script = scripts(reserve=no("SOLD_OUT"), refund=no("BANK_CLOSED"))
    world = World(plan_of(nodes, LINKS), script=script)
    state = world.finish()
    assert state.error is not None
    assert state.error.code == "SOLD_OUT"
    assert status(world, "charge") == "COMPENSATED"
    assert status(world, "charge/refund/voucher") == "SUCCEEDED"


def test_many_that_are_not_undone_are_counted() -> None:
    nodes = [a(f"n{i}", "keyed", compensation="u") for i in range(30)]
    nodes += [a("u", "keyed"), a("end", onError=undo())]
    links = [to(f"n{i}", "end.all") for i in range(30)]
    world = World(plan_of(nodes, links), script=scripts(end=no(), u=no()))
    error = world.finish().error
    assert error is not None
    assert error.details["count"] == 30
    assert len(str(error.details["notUndone"]).split(",")) == 20
    assert "and 10 more" in error.message


def test_what_runs_beside_comes_to_its_end_and_is_undone_too() -> None:
    nodes = [
        a("slow", "keyed", compensation="undo"),
        a("after", "keyed"),
        a("quick", onError=undo()),
        a("undo", "keyed"),
    ]
    world = World(plan_of(nodes, [to("slow", "after")]), script=scripts(quick=no()))
    world.seconds = {"slow": 30.0}
    state = world.finish()
    assert state.status is RunStatus.FAILED
    assert (status(world, "slow"), status(world, "after")) == ("COMPENSATED", "CANCELED")
    assert world.stops == []


@pytest.mark.parametrize("on_error", ["fail", "continue", fallback("spare"), undo()])
def test_what_fails_beside_a_run_that_is_undone_starts_nothing(on_error: Any) -> None:
    nodes = [
        a("first", "keyed", compensation="undo"),
        a("quick", onError=undo("rescue")),
        a("slow", "keyed", onError=on_error, retry={"maxAttempts": 9}),
        a("undo", "keyed"),
        a("spare"),
        a("rescue"),
    ]
    links = [to("first", "quick"), to("first", "slow")]
    script = scripts(quick=no("QUICK"), slow=no("SLOW", retryable=True))
    world = World(plan_of(nodes, links), script=script, seconds={"slow": 20.0})
    state = world.finish()
    assert status(world, "first") == "COMPENSATED"
    assert not world.ran("slow/spare")
    assert world.attempts["slow", 1] == 1
    assert ("slow", 2) not in world.attempts
    # What would have ended the run takes the way on from it.
    assert world.ran("rescue") is (on_error != "fail")
    assert (state.status is RunStatus.FAILED) is (on_error == "fail")


def test_a_run_that_fails_already_is_not_undone() -> None:
    nodes = [
        a("first", "keyed", compensation="undo"),
        a("quick"),
        a("slow", "keyed", onError=undo()),
        a("undo", "keyed"),
    ]
    world = World(
        plan_of(nodes, [to("first", "quick"), to("first", "slow")]),
        script=scripts(quick=no("QUICK")),
        patient={"slow": StepFailed(code="SLOW", message="no")},
    )
    state = world.finish()
    assert state.error is not None
    assert (state.error.code, status(world, "first")) == ("QUICK", "SUCCEEDED")


def test_an_effect_that_was_cut_is_brought_to_its_end_before_anything_is_undone() -> None:
    nodes = [
        a("slow", "reconcilable", compensation="undo"),
        a("quick", "keyed", onError=undo()),
        a("undo", "keyed"),
    ]
    world = World(plan_of(nodes), script=scripts(quick=no()), seconds={"slow": 5.0}, slots=2)
    calm = World(plan_of(nodes), script=scripts(quick=no()), seconds={"slow": 5.0}, slots=2)
    calm.finish()
    for cut_at in range(1, calm.points + 1):
        world = World(
            plan_of(nodes), script=scripts(quick=no()), seconds={"slow": 5.0}, cut_at=cut_at
        )
        world.finish()
        assert status(world, "slow") == "COMPENSATED"


# --- cancel, and time that is over


def canceled(world: World, *, after: str) -> World:
    world.mail_after = {after: Inbox(cancel=CancelRequest(by="ann"))}
    return world


def test_a_run_that_is_canceled_stays_as_it_is() -> None:
    world = canceled(World(plan_of(SHOP, LINKS)), after="charge")
    assert world.finish().status is RunStatus.CANCELED
    assert status(world, "charge") == "SUCCEEDED"


def test_a_run_that_is_canceled_is_undone_if_its_document_says_so() -> None:
    plan = plan_of(SHOP, LINKS, onCancel="compensate")
    world = canceled(World(plan, seconds={"charge/refund": 20.0}), after="charge")
    state = world.finish()
    assert (state.status, state.error) == (RunStatus.CANCELED, None)
    assert status(world, "order") == status(world, "charge") == "COMPENSATED"
    assert not world.ran("reserve") or status(world, "reserve") == "SUCCEEDED"
    assert world.stops == []


def test_a_run_whose_time_is_over_is_undone_if_its_document_says_so() -> None:
    plan = plan_of(SHOP, LINKS, onCancel="compensate")
    world = World(plan, seconds={"charge": 8.0, "charge/refund": 20.0})
    world.deadline_at = START + dt.timedelta(seconds=10)
    world.seconds["reserve"] = 9.0
    state = world.finish()
    assert state.error is not None
    assert (state.status, state.error.code) == (RunStatus.TIMED_OUT, "RUN_TIMEOUT")
    assert status(world, "charge") == "COMPENSATED"


def test_a_step_that_meets_the_end_of_the_run_is_not_stopped_before_it_is_undone() -> None:
    late = failing("STEP_TIMEOUT")
    plan = plan_of(SHOP, LINKS, onCancel="compensate")
    world = World(plan, script=scripts(reserve=late), seconds={"reserve": 10.0})
    world.deadline_at = START + dt.timedelta(seconds=10)
    assert world.finish().status is RunStatus.TIMED_OUT
    assert (status(world, "reserve"), status(world, "charge")) == ("CANCELED", "COMPENSATED")


@pytest.mark.parametrize("refund", [echo, failing("BANK_CLOSED")])
def test_who_cancels_a_run_that_is_undone_is_told_what_is_not(refund: Script) -> None:
    script = scripts(reserve=no("SOLD_OUT"), refund=refund)
    world = World(plan_of(SHOP, LINKS), script=script, seconds={"charge/refund": 5.0})
    world.mail_at = (START + dt.timedelta(seconds=1), Inbox(cancel=CancelRequest()))
    state = world.finish()
    assert state.status is RunStatus.CANCELED
    assert state.error is not None
    left = ["order"] if status(world, "charge") == "COMPENSATED" else ["charge", "order"]
    assert state.error.details["notUndone"] == left


@pytest.mark.parametrize("reason", CancelReason)
def test_a_run_that_waits_for_somebody_while_it_is_undone_can_be_canceled_once_more(
    reason: CancelReason,
) -> None:
    ask = [{"do": "escalate"}]
    nodes = [*SHOP[:3], a("withdraw", "keyed"), a("refund", "keyed", onError=ask)]
    plan = plan_of(nodes, LINKS, onCancel="compensate")
    world = World(plan, script=scripts(refund=no("BANK_CLOSED")), seconds={"reserve": 9.0})
    if reason is CancelReason.REQUESTED:
        canceled(world, after="charge")
    else:
        world.deadline_at = START + dt.timedelta(seconds=1)
    assert world.slice().left is Left.PARKED
    assert world.folded().status is RunStatus.COMPENSATING
    world.mail.append(Inbox(cancel=CancelRequest(by="ben")))
    assert world.slice().left is Left.FINISHED
    state = world.folded()
    ended = {"REQUESTED": RunStatus.CANCELED, "DEADLINE": RunStatus.TIMED_OUT}
    assert state.status is ended[reason]
    assert state.error is not None
    assert state.error.details["notUndone"] == ["charge", "order"]


def test_who_cancels_twice_does_not_cut_short_what_undoes() -> None:
    refund = failing("BANK_BUSY", times=1, retryable=True)
    nodes = [*SHOP[:4], a("refund", "keyed", retry={"maxAttempts": 3, "backoffSeconds": 60})]
    plan = plan_of(nodes, LINKS, onCancel="compensate")
    world = canceled(World(plan, script=scripts(refund=refund)), after="charge")
    assert world.slice().left is Left.PARKED
    world.mail.append(Inbox(cancel=CancelRequest(by="ben")))
    state = world.finish()
    assert (state.status, state.error) == (RunStatus.CANCELED, None)
    assert status(world, "order") == status(world, "charge") == "COMPENSATED"


def test_undoing_that_fails_is_told_by_a_run_that_was_canceled() -> None:
    plan = plan_of(SHOP, LINKS, onCancel="compensate")
    for reason in CancelReason:
        world = World(plan, script=scripts(refund=no("BANK_CLOSED")), seconds={"reserve": 9.0})
        if reason is CancelReason.REQUESTED:
            canceled(world, after="charge")
        else:
            world.deadline_at = START + dt.timedelta(seconds=1)
        state = world.finish()
        assert state.error is not None
        assert state.error.code == "COMPENSATION_FAILED"
        assert "because" not in state.error.message


def test_the_deadline_does_not_count_while_a_run_is_undone() -> None:
    nodes = [*SHOP[:2], a("reserve", "keyed", onError=undo("rescue")), *SHOP[3:], a("rescue")]
    script = scripts(reserve=no("SOLD_OUT"), refund=failing(times=2, retryable=True))
    world = World(plan_of(nodes, LINKS), script=script, seconds={"charge/refund": 60.0})
    world.deadline_at = START + dt.timedelta(seconds=10)
    state = world.finish()
    assert status(world, "charge") == status(world, "order") == "COMPENSATED"
    # Afterwards it does.
    assert state.status is RunStatus.TIMED_OUT
    assert not world.ran("rescue")
