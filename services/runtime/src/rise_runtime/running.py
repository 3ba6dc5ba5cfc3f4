"""One task on a worker: from its delivery to the moment when what follows is stored.

The order is what makes a death at any point harmless: first the next message (or the ending) is stored, then the
events, then the task is acknowledged. Whoever repeats it repeats the same, under the same message ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from rise_contracts import codec, errors, messages, subjects
from rise_runtime import blobs, endings, tasks, telemetry
from rise_runtime.bus import Bus
from rise_runtime.checkpoints import Checkpoints
from rise_runtime.fences import Fences
from rise_runtime.heartbeat import Heart
from rise_runtime.pulls import Delivery
from rise_runtime.reporter import Reporter
from rise_runtime.seam import Handoff, Identity, Pictures, StageContext, StageHandler, StageResult, Stopped, Stuck
from rise_runtime.together import meanwhile

log = logging.getLogger(__name__)

_FENCE_PATIENCE_S: Final = 15.0
"""A server that is away for less than this costs no result."""
_SUPERSEDED: Final = "superseded"


@dataclass(frozen=True, slots=True)
class Bench:
    """What a worker needs for every task."""

    bus: Bus
    fences: Fences
    reporter: Reporter
    identity: Identity
    handler: StageHandler
    thread: Executor
    heart: Heart
    keepalive_s: float
    stall_s: float


class Running:
    """One delivery being worked on."""

    def __init__(
        self,
        bench: Bench,
        delivery: Delivery,
        task: messages.StageTask,
        behind: bytes,
        turn: Callable[[Delivery], Awaitable[None]],
    ) -> None:
        """`turn` waits until it may begin; meanwhile the task is kept alive."""
        self.task, self.delivery = task, delivery
        self._bench, self._behind, self._turn = bench, behind, turn
        self._loop = asyncio.get_running_loop()
        self._checkpoints = Checkpoints(bench.bus, task, bench.reporter, bench.identity.writer)
        self.context = StageContext(bench.identity, delivery.deliveries, self._emit, self._checkpoints)
        self._stage = task.configuration.stages[task.stage_index]

    async def run(self) -> None:
        """Work it off. Raises Stopped, Stuck, StageFailed, Busy, BusUnavailable: nothing is acknowledged then."""
        # What was handed over a moment ago nearly always is: it is computed while that is asked.
        asked = self.task.handoff is None or self.delivery.deliveries > 1
        if asked and not await self._is_wanted():
            await self.delivery.ack()
            return
        async with self._kept_alive():
            await self._turn(self.delivery)
            self.context.check()
            payload = await tasks.payload(self._bench.bus, self.task, self._behind)
            if self.delivery.deliveries > 1:
                self.context.resume = await self._checkpoints.find()
            begun = asyncio.create_task(self._begin(asked))
            started_at, started = time.time(), time.perf_counter()
            try:
                result = await self._compute(payload)
            finally:
                seconds = time.perf_counter() - started
                wanted = await begun
            if not wanted:
                raise Stopped(_SUPERSEDED)
            report = self._report(result, started_at, seconds)
            telemetry.STAGE_SECONDS.labels(report.tier, report.member).observe(seconds)
            if isinstance(result, Handoff):
                await self._hand_over(result, report)
            else:
                await self._finish(result, report)
            await self.delivery.ack()
        # Not before: who dies in between is followed by one who goes on from the checkpoint.
        await self._checkpoints.drop()

    async def forget(self) -> None:
        """Drop what was kept of a stage that nobody wants any more: it may have been stored when its job was gone."""
        await self._checkpoints.forget()

    async def _compute(self, payload: bytes) -> StageResult:
        """What the handler makes. Raises Stuck when nothing was heard of it for too long."""
        bench, context = self._bench, self.context
        computing = self._loop.run_in_executor(bench.thread, bench.handler, self.task, payload, context)
        while not computing.done():
            left = bench.stall_s - context.silent_s
            if left <= 0:
                text = (
                    f"stage {self._stage.index} of job {self.task.job_id} gave no sign of life for {bench.stall_s:g} s"
                )
                raise Stuck(bench.identity.name, text)
            await asyncio.wait({computing}, timeout=left)
        return await computing

    async def _is_wanted(self) -> bool:
        """Nobody works for an old attempt, nor twice for a job that has ended."""
        task = self.task
        if not await self._bench.fences.is_current(task.job_id, task.attempt, patience=_FENCE_PATIENCE_S):
            log.info("job %s: attempt %d is not wanted any more", task.job_id, task.attempt)
            return False
        if self.delivery.deliveries == 1 or self._bench.identity.tier == "device":
            return True  # a device may not read how jobs ended
        ended = await endings.get(self._bench.bus, task.job_id)
        if ended is None:
            return True
        await endings.announce(self._bench.bus, ended[0])  # whoever stored it may have died before saying so
        return False

    @contextlib.asynccontextmanager
    async def _kept_alive(self) -> AsyncIterator[None]:
        async with meanwhile(self._keep_alive(), self._watch_fence(), self._checkpoints.run()):
            yield

    async def _keep_alive(self) -> None:
        while True:
            await self.delivery.in_progress()
            await asyncio.sleep(self._bench.keepalive_s)

    async def _watch_fence(self) -> None:
        """Apart from `_keep_alive`: a server that is slow to answer must not cost the worker its task."""
        while True:
            await asyncio.sleep(self._bench.keepalive_s)  # first, for `_is_wanted` has just asked
            try:
                if not await self._bench.fences.is_current(self.task.job_id, self.task.attempt):
                    self.context.stop(_SUPERSEDED)
            except errors.RiseError as error:
                # Without the bus nobody else gets on either: go on, the fence is asked again before the result.
                log.warning("job %s: the bus is away while it is worked on: %s", self.task.job_id, error)

    def _emit(self, step: int, steps: int, sigma: float, seconds_per_step: float) -> None:
        """From the handler's thread: publish progress without waiting for it."""
        event = messages.StageProgress(
            job_id=self.task.job_id,
            attempt=self.task.attempt,
            at=time.time(),
            stage=self._stage.index,
            worker=self._bench.identity.name,
            member=self._stage.member,
            tier=self._bench.identity.tier,
            step=step,
            steps=steps,
            sigma=sigma,
            seconds_per_step=seconds_per_step,
        )
        asyncio.run_coroutine_threadsafe(self._publish_progress(event), self._loop)

    async def _publish_progress(self, event: messages.StageProgress) -> None:
        with contextlib.suppress(errors.RiseError):
            await self._bench.bus.publish(subjects.progress(event.job_id, event.worker), codec.encode(event))

    async def _begin(self, asked: bool) -> bool:
        """Say that it has begun, if it is wanted; whether it is. Where not, what has begun all the same is stopped."""
        if not asked and not await self._is_wanted():
            self.context.stop(_SUPERSEDED)
            return False
        await self._announce_start()
        return True

    async def _announce_start(self) -> None:
        event = messages.StageStarted(
            job_id=self.task.job_id,
            attempt=self.task.attempt,
            at=time.time(),
            stage=self._stage.index,
            worker=self._bench.identity.name,
            member=self._stage.member,
            tier=self._bench.identity.tier,
            steps=self._stage.steps,
            delivery=self.delivery.deliveries,
            resumed_at=self.context.resume.step if self.context.resume is not None else 0,
        )
        await self._bench.reporter.event(event)

    def _report(self, result: StageResult, started_at: float, seconds: float) -> messages.StageReport:
        me, resume, resumed_at = self._bench.identity, self.context.resume, self.context.resumed_at
        return messages.StageReport(
            stage=self._stage.index,
            member=self._stage.member,
            tier=me.tier,
            pool=me.pool,
            worker=me.name,
            steps=result.steps,
            seconds=seconds,
            timings=result.timings,
            handoff_bytes=len(result.payload) if isinstance(result, Handoff) else 0,
            resumed_at=resumed_at,
            earlier_seconds=resume.seconds if resume is not None and resumed_at else 0.0,
            started_at=started_at,
            finished_at=started_at + seconds,
        )

    async def _hand_over(self, result: Handoff, report: messages.StageReport) -> None:
        task, started = self.task, time.perf_counter()
        following = task.model_copy(
            update={
                "stage_index": task.stage_index + 1,
                "handoff": result.header,
                "payload": None,
                "done": (*task.done, report),
            }
        )
        await self._bench.reporter.hand_over(following, result.payload)
        seconds = time.perf_counter() - started
        self._bench.heart.note_transfer(len(result.payload), seconds)
        telemetry.HANDOFF_BYTES.labels(result.header.dtype).inc(len(result.payload))
        telemetry.HANDOFF_SECONDS.observe(seconds)
        sent = messages.HandoffSent(
            job_id=task.job_id,
            attempt=task.attempt,
            at=time.time(),
            stage=self._stage.index,
            worker=self._bench.identity.name,
            sigma=result.header.sigma,
            nbytes=len(result.payload),
            dtype=result.header.dtype,
            seconds=seconds,
        )
        await asyncio.gather(self._bench.reporter.event(sent, result.preview), self._tell_done(report))

    async def _finish(self, result: Pictures, report: messages.StageReport) -> None:
        bus, task = self._bench.bus, self.task
        payload = b"".join(picture.png for picture in result.pictures)
        shelf = subjects.shelf(self._stage.lane, self._bench.identity.writer)
        ref, behind = await blobs.send(bus, shelf, task.job_id, "result", task.attempt, payload)
        done = messages.JobDone(
            job_id=task.job_id,
            attempt=task.attempt,
            at=time.time(),
            worker=self._bench.identity.name,
            arm=task.configuration.arm,
            seed=task.request.seed,
            digest=ref.sha256,
            nbytes=ref.nbytes,
            images=tuple(
                messages.ImageRef(
                    nbytes=len(picture.png),
                    sha256=hashlib.sha256(picture.png).hexdigest(),
                    width=picture.width,
                    height=picture.height,
                    frames=picture.frames,
                )
                for picture in result.pictures
            ),
            payload=ref,
            stages=(*task.done, report),
        )
        if not await self._bench.fences.is_current(task.job_id, task.attempt, patience=_FENCE_PATIENCE_S):
            log.info("job %s: the result of attempt %d comes too late", task.job_id, task.attempt)
            return
        # The job before the stage: a stage that is done and has left no ending would be waited for by nobody.
        await self._bench.reporter.finish(done, behind)
        await self._tell_done(report)

    async def _tell_done(self, report: messages.StageReport) -> None:
        await self._bench.reporter.event(
            messages.StageDone(
                job_id=self.task.job_id,
                attempt=self.task.attempt,
                at=time.time(),
                stage=self._stage.index,
                worker=self._bench.identity.name,
                report=report,
            )
        )
