"""Keys that something has happened to. Nothing waits for time here but the loop's own timers, which are short."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_operator.workqueue import FIRST_S, MOST_S, WorkQueue, pause

Handle = Callable[[str], Awaitable[float | None]]


class Desk:
    """Handles keys: notes them, holds them where a test says so, and answers what it says."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.at: list[float] = []
        self.answers: dict[str, list[float | Exception | None]] = {}
        self.held = asyncio.Event()
        self.held.set()
        self.failures: list[tuple[str, str]] = []
        self.busy: Counter[str] = Counter()
        self.most_busy = 0
        self.changed = asyncio.Event()

    async def handle(self, key: str) -> float | None:
        self.seen.append(key)
        self.at.append(asyncio.get_running_loop().time())
        self.busy[key] += 1
        assert self.busy[key] == 1, f"{key} is with two workers at once"
        self.most_busy = max(self.most_busy, self.busy.total())
        self.changed.set()
        await self.held.wait()
        self.busy[key] -= 1
        answers = self.answers.get(key)
        answer = answers.pop(0) if answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def failed(self, key: str, error: Exception) -> None:
        self.failures.append((key, str(error)))

    async def until(self, count: int) -> None:
        """Wait until so many keys were begun."""
        async with asyncio.timeout(30):
            while len(self.seen) < count:
                self.changed.clear()
                await self.changed.wait()


@contextlib.asynccontextmanager
async def working(desk: Desk, workers: int = 2) -> AsyncIterator[WorkQueue[str]]:
    queue: WorkQueue[str] = WorkQueue(desk.handle, desk.failed, workers=workers)
    task = asyncio.ensure_future(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until_idle(queue: WorkQueue[str]) -> None:
    async with asyncio.timeout(30):
        while not queue.idle:
            await asyncio.sleep(0)


async def test_each_key_is_looked_at_in_its_turn() -> None:
    desk = Desk()
    async with working(desk, workers=1) as queue:
        for key in "abc":
            queue.add(key)
        assert len(queue) == 3
        await desk.until(3)
        await until_idle(queue)
    assert desk.seen == ["a", "b", "c"]


async def test_one_that_waits_is_there_once() -> None:
    desk = Desk()
    async with working(desk) as queue:
        for key in "aabab":
            queue.add(key)
        assert len(queue) == 2
        await until_idle(queue)
    assert sorted(desk.seen) == ["a", "b"]


async def test_one_that_is_added_while_it_is_worked_on_comes_once_more() -> None:
    desk = Desk()
    desk.held.clear()
    async with working(desk) as queue:
        queue.add("a")
        await desk.until(1)
        queue.add("a")
        queue.add("a")
        queue.add("b")
        await desk.until(2)
        assert desk.seen == ["a", "b"], "nobody else gets it meanwhile"
        desk.held.set()
        await desk.until(3)
        await until_idle(queue)
    assert desk.seen == ["a", "b", "a"]


async def test_as_many_are_worked_on_as_there_are_workers() -> None:
    desk = Desk()
    desk.held.clear()
    async with working(desk, workers=3) as queue:
        for key in "abcde":
            queue.add(key)
        await desk.until(3)
        assert (desk.busy.total(), len(queue)) == (3, 2)
        desk.held.set()
        await desk.until(5)
    assert desk.most_busy == 3


async def test_one_that_fails_comes_again_and_others_do_not_wait_for_it() -> None:
    desk = Desk()
    desk.answers = {"a": [ValueError("no"), ValueError("still no"), None]}
    async with working(desk, workers=1) as queue:
        queue.add("a")
        queue.add("b")
        await desk.until(4)
        await until_idle(queue)
    assert desk.seen == ["a", "b", "a", "a"]
    assert desk.failures == [("a", "no"), ("a", "still no")]
    assert desk.at[2] - desk.at[0] >= FIRST_S * 0.95, "later, not at once"
    assert desk.at[3] - desk.at[2] >= FIRST_S * 1.95, "and later each time"


async def test_one_that_asks_for_it_comes_again_later() -> None:
    desk = Desk()
    desk.answers = {"a": [0.02, None]}
    async with working(desk) as queue:
        queue.add("a")
        await desk.until(2)
        await until_idle(queue)
    assert desk.at[1] - desk.at[0] >= 0.019


async def test_of_two_times_the_earlier_one_counts() -> None:
    desk = Desk()
    async with working(desk) as queue:
        began = asyncio.get_running_loop().time()
        queue.add_after("late", 3600)
        queue.add_after("late", 0.01)
        queue.add_after("early", 0.01)
        queue.add_after("early", 3600)
        queue.add_after("past", -5)
        await desk.until(3)
        await until_idle(queue)
    assert desk.seen[0] == "past"
    assert sorted(desk.seen) == ["early", "late", "past"]
    assert desk.at[0] - began < 3600


async def test_what_is_due_later_does_not_count_as_work() -> None:
    desk = Desk()
    async with working(desk) as queue:
        queue.add_after("a", 3600)
        assert queue.idle
        queue.add("a")
        await desk.until(1)
        await until_idle(queue)
    assert desk.seen == ["a"]


async def test_a_worker_that_is_cancelled_at_work_leaves_nothing_busy() -> None:
    desk = Desk()
    desk.held.clear()
    async with working(desk) as queue:
        queue.add("a")
        await desk.until(1)
    assert queue.idle


@pytest.mark.parametrize("count", [1, 5])
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=20))
def test_whatever_is_added_is_looked_at_afterwards(count: int, keys: list[str]) -> None:
    async def run() -> None:
        desk = Desk()
        async with working(desk, workers=count) as queue:
            for key in keys:
                before = len(desk.seen)
                queue.add(key)
                await asyncio.sleep(0)
                assert len(desk.seen) >= before
            await until_idle(queue)
            assert set(desk.seen) == set(keys)

    asyncio.run(run())


@given(st.integers(1, 10_000))
def test_pauses_grow_to_a_bound(failures: int) -> None:
    wanted = min(MOST_S, FIRST_S * 2.0 ** min(failures, 16))
    assert wanted / 2 <= pause(failures) <= wanted
