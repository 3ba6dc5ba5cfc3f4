"""Work on a thread and a loop of its own."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rise_operator.aside import Aside


async def test_what_the_work_returns_and_raises_comes_back() -> None:
    async def thread() -> str:
        return threading.current_thread().name

    async def failing() -> None:
        raise ValueError("no")

    assert await Aside("elsewhere", thread).ended == "elsewhere"
    with pytest.raises(ValueError, match="no"):
        await Aside("elsewhere", failing).ended


async def test_it_goes_on_while_this_loop_stands_still() -> None:
    turned = threading.Event()

    async def turn() -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        turned.set()

    aside = Aside("elsewhere", turn)
    assert turned.wait(30), "without giving this loop a chance"
    await aside.ended


@pytest.mark.parametrize("begun", [True, False], ids=["under way", "at once"])
async def test_work_that_is_cancelled_clears_up_first(begun: bool) -> None:
    began, cleared = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    async def work() -> None:
        loop.call_soon_threadsafe(began.set)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleared.set()

    aside = Aside("elsewhere", work)
    if begun:
        async with asyncio.timeout(30):
            await began.wait()
    aside.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(30):
            await aside.ended
    assert cleared.is_set() or not begun
