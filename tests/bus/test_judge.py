"""The judge of finished pictures: it says once what each is worth, and lets go of what it cannot judge."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rise_contracts import codec, messages, subjects
from rise_contracts.resources import RelayJobSpec
from rise_runtime import client, layout
from rise_runtime.bus import Bus
from rise_runtime.pulls import Consumer
from rise_runtime.seam import Handoff, Identity, Picture, Pictures, StageContext, StageResult
from rise_runtime.worker import run_worker
from rise_stage.judge import run_judge
from tests.bus import cli_stage
from tests.bus.runtime import small

RIGHT, WRONG = "a large red circle on a pale ground", "a large blue ring on a dark ground"


def draws_red_circles(task: messages.StageTask, payload: bytes, context: StageContext) -> StageResult:
    """Whatever it is asked for."""
    stage = task.configuration.stages[task.stage_index]
    if task.stage_index == 0:
        return Handoff(cli_stage.header(task, stage.sigma_to, b"x" * 64), b"x" * 64, stage.steps)
    drawn = tuple(Picture(cli_stage.picture(RIGHT, index), 64, 64) for index in range(task.request.spec.images))
    return Pictures(drawn, stage.steps)


@contextlib.asynccontextmanager
async def task(work: asyncio.Future[None]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


@pytest.fixture(autouse=True)
async def _platform(bus: Bus) -> AsyncIterator[None]:
    """All but the judge."""
    await layout.ensure(bus)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(small.driver(bus))
        await stack.enter_async_context(small.scheduler(bus))
        for name in ("edge-1", "device-1"):
            tier = name.partition("-")[0]
            identity = Identity(name, "edge" if tier == "edge" else "device", tier)
            working = asyncio.ensure_future(run_worker(bus, identity, draws_red_circles, settings=small.QUICK))
            await stack.enter_async_context(task(working))
        yield


async def done(bus: Bus, prompt: str, **more: Any) -> str:
    """A job that has ended; its id."""
    record = await client.submit(bus, RelayJobSpec(prompt=prompt, seed=1, **more))
    assert isinstance(await client.wait(bus, record.job_id), messages.JobDone)
    return record.job_id


async def judged(bus: Bus, count: int) -> dict[str, float]:
    """The qualities told, by job, once there are so many messages with one."""
    consumer = Consumer(bus, subjects.STREAM_OUTCOMES, (subjects.OUTCOMES,))
    await consumer.start()
    found: dict[str, float] = {}
    try:
        async with asyncio.timeout(60):
            while count:
                delivery = await consumer.next()
                outcome = codec.decode(messages.Outcome, delivery.data) if delivery is not None else None
                if outcome is not None and outcome.quality is not None:
                    assert outcome.job_id not in found, "a job was told of twice"
                    found[outcome.job_id] = outcome.quality
                    count -= 1
    finally:
        await consumer.stop()
    return found


async def test_the_quality_of_every_picture_reaches_the_scheduler_right_or_wrong(bus: Bus) -> None:
    right, wrong = await done(bus, RIGHT), await done(bus, WRONG)
    async with task(asyncio.ensure_future(run_judge(bus))):
        # Both ended before the judge began: none is missed.
        assert await judged(bus, 2) == {right: 1.0, wrong: 0.0}


async def test_a_job_of_several_pictures_is_worth_their_mean(bus: Bus) -> None:
    async with task(asyncio.ensure_future(run_judge(bus))):
        job = await done(bus, RIGHT, images=3)
        assert await judged(bus, 1) == {job: 1.0}


async def test_what_no_program_can_judge_is_let_go_and_the_next_is_judged(bus: Bus) -> None:
    async with task(asyncio.ensure_future(run_judge(bus))):
        await done(bus, "the feeling of a sunday afternoon")
        await done(bus, RIGHT, family="painted")
        job = await done(bus, RIGHT)
        assert await judged(bus, 1) == {job: 1.0}


async def test_a_job_that_was_removed_keeps_nobody_from_being_judged(bus: Bus) -> None:
    gone = await done(bus, RIGHT)
    async with asyncio.timeout(60):
        async for record in client.watch_job(bus, gone):
            if record.finished:
                break
    await client.remove(bus, gone)
    async with task(asyncio.ensure_future(run_judge(bus))):
        job = await done(bus, WRONG)
        assert await judged(bus, 1) == {job: 0.0}


async def test_two_judges_and_a_front_door_tell_it_once(bus: Bus) -> None:
    async with task(asyncio.ensure_future(run_judge(bus))), task(asyncio.ensure_future(run_judge(bus))):
        first = await done(bus, RIGHT)
        record = await client.get_job(bus, first)
        ending = (await client.fetch_result(bus, first)).done
        await client.report_quality(bus, record, ending, 1.0, judged_by="judge")
        second = await done(bus, WRONG)
        assert await judged(bus, 2) == {first: 1.0, second: 0.0}
