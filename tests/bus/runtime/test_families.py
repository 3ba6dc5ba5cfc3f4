"""Families that are made known, changed and withdrawn on a real bus."""

from __future__ import annotations

import asyncio

import pytest

from rise_contracts.errors import Busy, UnknownName
from rise_runtime import layout
from rise_runtime.bus import Bus
from rise_runtime.families import Families
from tests.unit.scheduler.builders import family


@pytest.fixture(autouse=True)
async def _layout(bus: Bus) -> None:
    await layout.ensure(bus)


async def test_one_that_is_not_known_yet_is_waited_for(bus: Bus) -> None:
    waiting = asyncio.create_task(Families(bus).wait_for("rise-shapes"))
    other = family().model_copy(update={"metadata": family().metadata.model_copy(update={"name": "other"})})
    await Families(bus).publish(other)
    with pytest.raises(UnknownName):
        await Families(bus).get("rise-shapes")
    assert not waiting.done()
    await Families(bus).publish(family())
    assert await asyncio.wait_for(waiting, 60) == family()


async def test_one_that_is_known_is_there_at_once(bus: Bus) -> None:
    await Families(bus).publish(family())
    assert await asyncio.wait_for(Families(bus).wait_for("rise-shapes"), 60) == family()


async def test_one_that_is_withdrawn_is_not_known_and_waited_for_again(bus: Bus) -> None:
    await Families(bus).publish(family())
    await Families(bus).withdraw("rise-shapes")
    await Families(bus).withdraw("rise-shapes")
    with pytest.raises(Busy, match="no model family is known yet"):
        await Families(bus).get("rise-shapes")
    waiting = asyncio.create_task(Families(bus).wait_for("rise-shapes"))
    larger = family(defaultSize=128)
    await Families(bus).publish(larger)
    assert await asyncio.wait_for(waiting, 60) == larger


async def test_the_newest_is_the_one_that_counts(bus: Bus) -> None:
    known = Families(bus)
    await known.publish(family())
    assert (await known.get("rise-shapes")).spec.default_size == 64
    await Families(bus).publish(family(defaultSize=128))
    assert (await known.get("rise-shapes")).spec.default_size == 128
