"""A scorer on a real bus, with a scorer that counts: which jobs it sees, what it says, what it lets go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from PIL import Image

from rise_contracts import codec, messages, sampling, subjects
from rise_contracts.audits import key_of
from rise_contracts.errors import InvalidInput
from rise_contracts.resources import RelayJobSpec
from rise_runtime import client, layout
from rise_runtime.bus import Bus
from rise_runtime.pulls import Consumer
from rise_runtime.seam import Handoff, Picture, Pictures, StageContext, StageResult
from rise_runtime.together import meanwhile
from rise_runtime.worker import run_worker
from rise_stage.scoring.service import Settings, run_scorer
from tests.bus import cli_stage
from tests.bus.runtime import small

FAMILY = "painted"
PROMPT = "a harbour at dawn, oil on canvas"
ALL = Settings(share=1.0, ack_wait_s=5.0)


@dataclass
class Counting:
    """Each picture is worth a quarter more than the one before. `trouble` is raised instead, so many times."""

    name: str = "counting"
    trouble: Exception | None = None
    times: int = 0
    seen: list[tuple[str, tuple[int, int]]] = field(default_factory=list)

    def score(self, prompt: str, picture: Image.Image) -> float:
        if self.trouble is not None and self.times > 0:
            self.times -= 1
            raise self.trouble
        self.seen.append((prompt, picture.size))
        return 0.25 * len(self.seen)


def draws(task: messages.StageTask, payload: bytes, context: StageContext) -> StageResult:
    stage = task.configuration.stages[task.stage_index]
    if task.stage_index == 0:
        return Handoff(cli_stage.header(task, stage.sigma_to, b"x" * 64), b"x" * 64, stage.steps)
    drawn = [cli_stage.picture("a red circle", seed) for seed in range(task.request.spec.images)]
    return Pictures(tuple(Picture(png, 64, 64) for png in drawn), stage.steps)


@pytest.fixture(autouse=True)
async def _platform(bus: Bus) -> AsyncIterator[None]:
    await layout.ensure(bus)
    workers = (run_worker(bus, small.identity(name), draws, settings=small.QUICK) for name in ("edge-1", "device-1"))
    async with small.driver(bus), small.scheduler(bus), meanwhile(*workers):
        yield


async def done(bus: Bus, **more: object) -> str:
    """A job that has ended; its id."""
    spec = RelayJobSpec.model_validate({"prompt": PROMPT, "family": FAMILY, "seed": 1, **more})
    record = await client.submit(bus, spec)
    assert isinstance(await client.wait(bus, record.job_id), messages.JobDone)
    return record.job_id


async def told(bus: Bus, count: int) -> dict[str, tuple[float, str]]:
    """Quality and source by job, once so many are told."""
    consumer = Consumer(bus, subjects.STREAM_OUTCOMES, (subjects.OUTCOMES,))
    await consumer.start()
    found: dict[str, tuple[float, str]] = {}
    try:
        async with asyncio.timeout(60):
            while len(found) < count:
                delivery = await consumer.next()
                outcome = codec.decode(messages.Outcome, delivery.data) if delivery is not None else None
                if outcome is not None and outcome.quality is not None:
                    assert outcome.job_id not in found, "a job was told of twice"
                    found[outcome.job_id] = (outcome.quality, outcome.judged_by)
    finally:
        await consumer.stop()
    return found


async def test_the_outcome_carries_the_label_and_its_source_and_pictures_count_as_their_mean(bus: Bus) -> None:
    scorer = Counting()
    first = await done(bus)  # it ended before the scorer began
    async with meanwhile(run_scorer(bus, scorer, ALL)):
        assert await told(bus, 1) == {first: (0.25, "counting")}
        several = await done(bus, images=2)
        assert (await told(bus, 2))[several] == (0.625, "counting")
    assert scorer.seen == [(PROMPT, (64, 64))] * 3


async def test_two_scorers_tell_each_job_once(bus: Bus) -> None:
    one, other = Counting(), Counting()
    async with meanwhile(run_scorer(bus, one, ALL), run_scorer(bus, other, ALL)):
        jobs = {await done(bus) for _ in range(4)}
        assert set(await told(bus, 4)) == jobs
    assert len(one.seen) + len(other.seen) == 4


async def test_of_a_share_only_the_sample_is_scored(bus: Bus) -> None:
    """By the ids of the jobs, so it can be told beforehand which."""
    scorer, half = Counting(), Settings(share=0.5)
    keys = [f"key-{number}" for number in range(20)]
    inside = [key for key in keys if sampling.is_sampled("score", client.id_of(key), 0.5)]
    outside = [key for key in keys if key not in inside]
    async with meanwhile(run_scorer(bus, scorer, half)):
        await done(bus, idempotencyKey=outside[0])
        wanted = {await done(bus, idempotencyKey=key) for key in inside[:2]}
        assert set(await told(bus, 2)) == wanted


async def test_the_embedded_family_is_its_judges_and_an_audit_is_nobodys(bus: Bus) -> None:
    async with meanwhile(run_scorer(bus, Counting(), ALL)):
        await done(bus, family="rise-shapes")
        await done(bus, idempotencyKey=key_of("another"))
        job = await done(bus)
        assert set(await told(bus, 1)) == {job}


async def test_what_a_scorer_says_has_no_word_of_the_prompt(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    scorer = Counting(trouble=ValueError(f"cannot tokenize {PROMPT!r}"), times=1)
    async with meanwhile(run_scorer(bus, scorer, ALL)):
        job = await done(bus)
        assert await told(bus, 1) == {job: (0.25, "counting")}  # the second try
    assert "scorer tries again: counting cannot score it: ValueError: cannot tokenize" in caplog.text
    assert "harbour" not in caplog.text


async def test_a_job_that_nobody_can_score_is_given_up_and_the_next_is_scored(bus: Bus) -> None:
    scorer = Counting(trouble=RuntimeError("out of order"), times=5)
    async with meanwhile(run_scorer(bus, scorer, ALL)):
        await done(bus)
        job = await done(bus)
        assert await told(bus, 1) == {job: (0.25, "counting")}


async def test_a_picture_that_is_worth_no_number_is_let_go_at_once(bus: Bus) -> None:
    scorer = Counting(trouble=InvalidInput("picture", "a PNG that can be read", "OSError"), times=1)
    async with meanwhile(run_scorer(bus, scorer, ALL)):
        await done(bus)
        job = await done(bus)
        assert await told(bus, 1) == {job: (0.25, "counting")}


async def test_a_job_that_was_removed_is_let_go(bus: Bus) -> None:
    gone = await done(bus)
    async with asyncio.timeout(60):
        async for record in client.watch_job(bus, gone):
            if record.finished:
                break
    await client.remove(bus, gone)
    async with meanwhile(run_scorer(bus, Counting(), ALL)):
        job = await done(bus)
        assert set(await told(bus, 1)) == {job}
