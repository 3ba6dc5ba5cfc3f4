"""Signals end a command by cancelling it, and it cleans up before it goes."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from rise_cli import interrupts

CODES = [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM"), (signal.SIGHUP, 129, "a closed terminal")]


@pytest.mark.parametrize(("number", "code", "name"), CODES)
def test_a_signal_cancels_and_the_cleaning_up_is_done(number: signal.Signals, code: int, name: str) -> None:
    cleaned = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    with pytest.raises(interrupts.Stopped) as caught:
        interrupts.run(work())
    assert (caught.value.exit_code, caught.value.name) == (code, name)
    assert cleaned == [True]


def test_a_second_signal_does_not_disturb_the_cleaning_up() -> None:
    cleaned = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(5):
                await asyncio.sleep(0)
            cleaned.append(True)

    with pytest.raises(interrupts.Stopped) as caught:
        interrupts.run(work())
    assert caught.value.exit_code == 143
    assert cleaned == [True]


def test_what_breaks_on_the_way_out_is_not_what_went_wrong() -> None:
    async def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            raise ValueError("the bus is gone")

    with pytest.raises(interrupts.Stopped):
        interrupts.run(work())


def test_without_a_signal_results_and_errors_pass() -> None:
    async def good() -> int:
        return 7

    async def bad() -> None:
        raise ValueError("no")

    assert interrupts.run(good()) == 7
    with pytest.raises(ValueError, match="no"):
        interrupts.run(bad())
