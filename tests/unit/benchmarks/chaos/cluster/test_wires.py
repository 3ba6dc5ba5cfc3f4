"""A loop on a thread of its own, asked from plain code."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from benchmarks.chaos.cluster.api_tap import ApiHold
from benchmarks.chaos.cluster.wires import Wires
from rise_contracts import errors


@pytest.fixture
def wires() -> Iterator[Wires]:
    made = Wires()
    yield made
    made.close()


async def thread() -> str:
    return threading.current_thread().name


def test_work_is_done_on_the_other_thread_and_its_result_comes_back(wires: Wires) -> None:
    assert wires.call(thread()) == "wires"
    assert wires.do(lambda: threading.current_thread().name) == "wires"
    assert wires.begin(thread()).result(10) == "wires"


def test_work_that_takes_too_long_is_given_up(wires: Wires) -> None:
    with pytest.raises(TimeoutError):
        wires.call(asyncio.Event().wait(), 0.05)


def test_what_was_entered_is_open_until_the_end_and_left_in_turn() -> None:
    told: list[str] = []

    @contextlib.asynccontextmanager
    async def opened(name: str) -> AsyncIterator[str]:
        told.append(f"open {name}")
        yield name
        told.append(f"closed {name}")

    wires = Wires()
    assert wires.enter(opened("one")) == "one"
    wires.enter(opened("two"))
    assert told == ["open one", "open two"]
    wires.close()
    assert told[2:] == ["closed two", "closed one"]


def test_what_still_runs_at_the_end_is_ended() -> None:
    wires, ended = Wires(), threading.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    began = wires.begin(forever())
    wires.call(asyncio.sleep(0))
    wires.close()
    assert ended.is_set()
    assert began.cancelled()


def hold() -> ApiHold:
    return ApiHold(lambda asked: True)


def test_the_first_hold_that_is_met_is_told_and_the_others_wait_no_more(wires: Wires) -> None:
    first, other = wires.do(hold), wires.do(hold)
    keeping = wires.begin(first.keep())
    assert wires.first_met([other, first], 10) is first
    assert wires.call(other.keep()) is None, "it was let go"
    assert not keeping.done()
    wires.do(first.let_go)
    keeping.result(10)


def test_a_moment_that_never_comes_is_said_and_nothing_waits_for_it(wires: Wires) -> None:
    never = wires.do(hold)
    with pytest.raises(errors.Waited):
        wires.first_met([never], 0.05)
    assert wires.call(never.keep()) is None
