"""Audits on a real bus: a job held against the base member end to end, the ones let go, and what is left of each."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest
from PIL import Image

from rise_cli import fidelity
from rise_cli.audit import Settings, run_auditor
from rise_contracts import codec, errors, manifest, messages, subjects
from rise_contracts.audits import Audit, is_audit, key_of
from rise_contracts.decisions import DecisionRecord
from rise_contracts.resources import RelayJobSpec
from rise_runtime import client, layout, plan, streams
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.families import Families
from rise_runtime.seam import Handoff, Picture, Pictures, StageContext, StageResult, WorkerStatus
from rise_runtime.worker import run_worker
from rise_scheduler.composed.policy import ComposedPolicy
from rise_scheduler.service import Scheduler
from rise_stage.judge import run_judge
from tests.bus import cli, cli_stage
from tests.bus.runtime import small

ALL = Settings(share=1.0, idle_s=0.1, patience_s=300.0, ack_wait_s=2.0)
PROMPT = "a large red circle on a pale ground"
RELAY = {
    "mode": "Fixed",
    "stages": [{"member": "large", "steps": 3, "untilSigma": 1.2}, {"member": "finisher", "steps": 3}],
}
ALONE = {"mode": "Fixed", "stages": [{"member": "large", "steps": 20}]}
ARM, BASE = "large:3@1.2+finisher:3", "large:20"
PATIENCE_S = 120.0


@dataclass
class Stage:
    """Draws what was asked, and counts for whom. The finisher draws from another seed, so it comes near, not to it.
    While `hold` is set, jobs of the base member alone wait in mid-stage. `side` is that of its pictures, in
    pixels."""

    starts: list[str] = field(default_factory=list)
    hold: bool = False
    broken: bool = False
    side: int = 64

    def __call__(self, task: messages.StageTask, payload: bytes, context: StageContext) -> StageResult:
        request, stage = task.request, task.configuration.stages[task.stage_index]
        self.starts.append(task.job_id)
        if is_audit(request.spec) and self.broken:
            raise errors.StageFailed("the large member is out of order", retriable=False)
        while self.hold and len(task.configuration.stages) == 1:
            context.check()
            time.sleep(0.01)
        if stage.sigma_to > 0:
            return Handoff(cli_stage.header(task, stage.sigma_to, b"x" * 64), b"x" * 64, stage.steps)
        other = 0 if stage.member == "large" else 100
        seeds = range(request.seed, request.seed + request.spec.images)
        drawings = [drawn(request.spec.prompt, seed + other, self.side) for seed in seeds]
        return Pictures(tuple(Picture(png, self.side, self.side) for png in drawings), stage.steps)


def drawn(prompt: str, seed: int, side: int = 64) -> bytes:
    png = cli_stage.picture(prompt, seed)
    if side == 64:
        return png
    stream = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.resize((side, side)).save(stream, "PNG")
    return stream.getvalue()


@contextlib.asynccontextmanager
async def running(work: Awaitable[None]) -> AsyncIterator[asyncio.Future[None]]:
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def stage(bus: Bus) -> AsyncIterator[Stage]:
    """All of a platform but judge and auditor, with the real scheduler and its default policy."""
    await layout.ensure(bus)
    family = manifest.load_family(cli.FAMILY)
    await Families(bus).publish(family)
    handler = Stage()
    names = tuple(member.name for member in family.spec.members)
    status = WorkerStatus(names, dict.fromkeys(names, 0.002))
    scheduler = Scheduler(bus, ComposedPolicy(), default_reference_s=5.0)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(small.driver(bus, small.PATIENT))
        for name in ("edge-1", "device-1"):
            work = run_worker(bus, small.identity(name), handler, status=lambda: status, settings=small.QUICK)
            await stack.enter_async_context(running(work))
        await scheduler.start()
        stack.push_async_callback(scheduler.stop)
        yield handler


async def done(bus: Bus, relay: object = RELAY, **more: object) -> str:
    """A job that has ended well; its id."""
    spec = RelayJobSpec.model_validate({"prompt": PROMPT, "seed": 1, "relay": relay, **more})
    record = await client.submit(bus, spec)
    ending = await client.wait(bus, record.job_id)
    assert isinstance(ending, messages.JobDone), ending
    return record.job_id


async def audit(bus: Bus, job_id: str) -> Audit:
    """The job's audit, as soon as it is there."""
    async with asyncio.timeout(PATIENCE_S):
        async for entry in Bucket(bus, subjects.KV_AUDITS).watch(job_id):
            if entry is not None and entry.value is not None:
                return codec.decode(Audit, entry.value)
    raise AssertionError("the watch ended")


async def audited(bus: Bus) -> set[str]:
    return {entry.key for entry in await Bucket(bus, subjects.KV_AUDITS).entries()}


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.02)


async def jobs(bus: Bus) -> set[str]:
    return {record.job_id for record in await client.list_jobs(bus)}


async def nothing_waits(bus: Bus) -> None:
    """Until the auditors have let go of every event."""

    async def through() -> bool:
        with contextlib.suppress(streams.JetStreamError):  # no auditor has come yet
            return await let_go()
        return False

    async def let_go() -> bool:
        info = await streams.api(bus, f"CONSUMER.INFO.{subjects.STREAM_EVENTS}.{subjects.DURABLE_AUDITOR}")
        return (info["num_pending"], info["num_ack_pending"]) == (0, 0)

    await until(through)


async def decision(bus: Bus, job_id: str, known: Callable[[DecisionRecord], bool]) -> DecisionRecord:
    """The log's entry on the job once it is as wanted."""
    async with asyncio.timeout(PATIENCE_S):
        async for entry in Bucket(bus, subjects.KV_DECISIONS).watch():
            if entry is not None and entry.value is not None:
                record = codec.decode(DecisionRecord, entry.value)
                if record.decision.job_id == job_id and known(record):
                    return record
    raise AssertionError("the watch ended")


def audit_job(job_id: str) -> str:
    return client.id_of(key_of(job_id))


async def test_a_relay_is_held_against_the_base_member_and_nothing_else_is_left(bus: Bus, stage: Stage) -> None:
    job = await done(bus, images=2)
    async with running(run_auditor(bus, ALL)):
        found = await audit(bus, job)
        await nothing_waits(bus)
        await until_gone(bus, audit_job(job))
    wanted = fidelity.of_files([drawn(PROMPT, 101), drawn(PROMPT, 102)], [drawn(PROMPT, 1), drawn(PROMPT, 2)])
    assert found.pictures == pytest.approx(wanted)
    assert found.fidelity == pytest.approx(sum(wanted) / 2) and 0 < found.fidelity < 1
    assert (found.family, found.arm, found.base_arm) == ("rise-shapes", ARM, BASE)
    assert found.edge_s > 0
    assert stage.starts.count(audit_job(job)) == 1
    assert await jobs(bus) == {job}
    assert await Bucket(bus, subjects.KV_RESULTS).get(audit_job(job)) is None


async def until_gone(bus: Bus, job_id: str) -> None:
    async def gone() -> bool:
        return job_id not in await jobs(bus)

    await until(gone)


async def test_what_the_base_member_made_alone_is_not_audited_nor_is_an_audit(bus: Bus, stage: Stage) -> None:
    alone = await done(bus, ALONE)
    itself = await done(bus, RELAY, idempotencyKey=key_of("another"))
    async with running(run_auditor(bus, ALL)):
        relay = await done(bus)
        await audit(bus, relay)
        await nothing_waits(bus)
    assert await audited(bus) == {relay}
    assert await jobs(bus) == {alone, itself, relay}


async def test_of_a_share_only_the_sample_is_audited(bus: Bus, stage: Stage) -> None:
    await done(bus)
    async with running(run_auditor(bus, replace(ALL, share=0.0))):
        await nothing_waits(bus)
    assert await audited(bus) == set()
    assert len(stage.starts) == 2


async def test_a_failed_audit_leaves_nothing_behind_and_the_next_is_made(bus: Bus, stage: Stage) -> None:
    stage.broken = True
    job = await done(bus)
    async with running(run_auditor(bus, replace(ALL, teach=True))):
        await until(lambda: started(stage, audit_job(job)))
        await nothing_waits(bus)
        await until_gone(bus, audit_job(job))
        assert await audited(bus) == set()
        assert await Bucket(bus, subjects.KV_RESULTS).get(audit_job(job)) is None
        noted = await decision(bus, job, lambda record: record.outcome is not None)
        assert noted.outcome is not None and noted.outcome.quality is None
        assert stage.starts.count(audit_job(job)) == 1
        stage.broken = False
        following = await done(bus)
        await audit(bus, following)
    assert await audited(bus) == {following}


async def test_pictures_that_cannot_be_compared_are_given_up_after_some_tries(bus: Bus, stage: Stage) -> None:
    stage.side = 8  # the window of the comparison has 11 pixels a side
    job = await done(bus)
    async with running(run_auditor(bus, ALL)):
        await nothing_waits(bus)
        await until_gone(bus, audit_job(job))
    assert stage.starts.count(audit_job(job)) == 1
    assert (await audited(bus), await jobs(bus)) == (set(), {job})


async def started(stage: Stage, job_id: str) -> bool:
    return job_id in stage.starts


async def test_a_busy_edge_is_left_alone_until_it_is_idle(bus: Bus, stage: Stage) -> None:
    job = await done(bus)
    stage.hold = True
    spec = RelayJobSpec.model_validate({"prompt": PROMPT, "seed": 1, "relay": ALONE})
    user = (await client.submit(bus, spec)).job_id
    await until(lambda: started(stage, user))
    await beats(bus, 1)
    async with running(run_auditor(bus, ALL)):
        await beats(bus, 3)
        assert audit_job(job) not in await jobs(bus)
        stage.hold = False
        await audit(bus, job)


async def beats(bus: Bus, count: int) -> None:
    """So many more heartbeats of the edge, in each of which it is busy."""
    seen = 0
    async with asyncio.timeout(PATIENCE_S):
        async for entry in Bucket(bus, subjects.KV_WORKERS).watch(subjects.heartbeat("edge", "edge", "edge-1")):
            if entry is not None and entry.value is not None:
                seen += bool(codec.decode(messages.Heartbeat, entry.value).busy_jobs)
            if seen == count:
                return


async def test_an_edge_that_is_never_idle_costs_the_audit_and_nothing_more(bus: Bus, stage: Stage) -> None:
    job = await done(bus)
    stage.hold = True
    spec = RelayJobSpec.model_validate({"prompt": PROMPT, "seed": 1, "relay": ALONE})
    user = (await client.submit(bus, spec)).job_id
    await until(lambda: started(stage, user))
    await beats(bus, 1)
    async with running(run_auditor(bus, replace(ALL, patience_s=1.0))):
        await nothing_waits(bus)
    stage.hold = False
    await client.wait(bus, user)
    assert await audited(bus) == set()
    assert await jobs(bus) == {job, user}


async def test_an_auditor_that_dies_repeats_nothing(bus: Bus, stage: Stage) -> None:
    job = await done(bus)
    stage.hold = True
    async with running(run_auditor(bus, ALL)):
        await until(lambda: started(stage, audit_job(job)))
    # Gone in mid-audit; the base member's run goes on, and the next auditor takes it up, with no idle edge to wait for.
    async with running(run_auditor(bus, replace(ALL, patience_s=0.5))):
        await beats(bus, 5)  # time enough to take it over, and to lose patience
        stage.hold = False
        await audit(bus, job)
        await nothing_waits(bus)
    assert stage.starts.count(audit_job(job)) == 1
    # Its word was lost, the event comes again: what has its audit is not audited again.
    event = (await client.fetch_result(bus, job)).done
    await publish_again(bus, event)
    async with running(run_auditor(bus, ALL)):
        await nothing_waits(bus)
    assert stage.starts.count(audit_job(job)) == 1


async def outcomes(bus: Bus) -> list[messages.Outcome]:
    """All that there are now."""
    info = await streams.api(bus, f"STREAM.INFO.{subjects.STREAM_OUTCOMES}")
    return await small.outcomes(bus, info["state"]["messages"])


async def publish_again(bus: Bus, event: messages.JobDone) -> None:
    await streams.store(bus, subjects.event(event.job_id, event.kind), codec.encode(event))


async def test_two_auditors_have_one_job_at_a_time_between_them(bus: Bus, stage: Stage) -> None:
    first, second = await done(bus), await done(bus)
    stage.hold = True
    async with running(run_auditor(bus, ALL)), running(run_auditor(bus, ALL)):
        await until(lambda: started(stage, audit_job(first)))
        await beats(bus, 3)
        assert audit_job(second) not in await jobs(bus)
        stage.hold = False
        await audit(bus, second)
        await audit(bus, first)
    assert [stage.starts.count(audit_job(job)) for job in (first, second)] == [1, 1]


async def test_fidelity_is_the_quality_of_what_nobody_has_judged_where_it_may_teach(bus: Bus, stage: Stage) -> None:
    job, judged = await done(bus), await done(bus)
    # By the outcomes API, say: without the message id by which the bus itself would drop a second word.
    outcome = plan.outcome(await client.get_job(bus, judged), (await client.fetch_result(bus, judged)).done)
    assert outcome is not None
    await streams.store(bus, subjects.OUTCOMES, codec.encode(outcome.model_copy(update={"quality": 0.125})))
    await decision(bus, judged, lambda noted: noted.outcome is not None and noted.outcome.quality == 0.125)
    async with running(run_auditor(bus, replace(ALL, teach=True))):
        found = await audit(bus, job)
        await audit(bus, judged)
        await decision(bus, job, lambda noted: noted.outcome is not None and noted.outcome.quality == found.fidelity)
        await nothing_waits(bus)
    qualities = [told.quality for told in await outcomes(bus) if told.quality is not None]
    assert qualities == [0.125, found.fidelity]


async def test_an_audit_is_no_users_job_to_judge_and_the_scheduler(bus: Bus, stage: Stage) -> None:
    job = await done(bus)
    async with running(run_judge(bus)), running(run_auditor(bus, ALL)):
        await audit(bus, job)
        noted = await decision(bus, audit_job(job), lambda record: record.outcome is not None)
        await decision(bus, job, lambda record: record.outcome is not None and record.outcome.quality is not None)
        following = await done(bus, ALONE)  # it is judged after the audit was let go
        await decision(bus, following, lambda record: record.outcome is not None and record.outcome.quality is not None)
    assert (noted.learns, noted.settlement) == ("", None)
    assert noted.outcome is not None and noted.outcome.quality is None and noted.outcome.stage_seconds
    told = [each for each in await small.outcomes(bus, 5) if each.job_id == audit_job(job)]
    assert [each.quality for each in told] == [None]
