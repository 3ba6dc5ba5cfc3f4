"""One scheduler: answers configurations, learns from outcomes, says what it knows. All deciding is in ``decide`` and
``learn``; the bus is served here, HTTP by ``http``, both by the same methods.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from contextlib import suppress

from rise_contracts import codec, subjects
from rise_contracts.decisions import DecisionRecord
from rise_contracts.errors import InvalidInput, RiseError
from rise_contracts.messages import Configure, Decision, Outcome, UserAct
from rise_contracts.reports import AskPolicy, FleetReport, PolicyReport
from rise_runtime import services
from rise_runtime.bus import Announcement, Bus
from rise_runtime.families import Families
from rise_runtime.heartbeat import Workers
from rise_runtime.pulls import Consumer, Delivery
from rise_runtime.services import Served
from rise_scheduler import metrics, reports
from rise_scheduler.composed.knowledge import Learning
from rise_scheduler.composed.price import Pacer
from rise_scheduler.decide import decide
from rise_scheduler.fleet import Fleet
from rise_scheduler.learn import Verdict, outcome_of_act
from rise_scheduler.policies import Policy
from rise_scheduler.reckoning import Reckoning
from rise_scheduler.state import StateRefused
from rise_scheduler.store import Store, UnknownDecision

log = logging.getLogger(__name__)

SERVICE = "rise-scheduler"
"""Its name in the NATS micro protocol: `nats micro info rise-scheduler`."""
GIVE_UP_AFTER = 10
"""An outcome that failed this often for a reason nobody foresaw is let go, so that the others are learned from."""
RETRY_S = 1.0
NEWER_STATE_RETRY_S = 60.0
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Of a decision: what may stand in a key of the log. Anything else names none, and must not reach a subject."""


class Scheduler:
    """One replica. ``start`` returns when it answers; ``stop`` ends it and gives back what it had not finished."""

    def __init__(
        self, bus: Bus, policy: Policy, *, default_reference_s: float, learning: Learning | None = None
    ) -> None:
        self._bus, self._policy = bus, policy
        self._workers = Workers(bus)
        self._default_reference_s = default_reference_s
        self._learning = learning or Learning()
        self._store = Store(bus, default_reference_s=default_reference_s, learning=self._learning)
        self._reckoning, self._pacer, self._seen = Reckoning(), Pacer(), Fleet()
        self.families = Families(bus)
        self._outcomes = Consumer(
            bus,
            subjects.STREAM_OUTCOMES,
            (subjects.OUTCOMES,),
            durable=subjects.DURABLE_SCHEDULER,
            ack_wait_s=30.0,
            batch=1,
        )
        self._served: dict[str, Served] = {}
        self._announcement: Announcement | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """See the workers that are there, then answer and learn."""
        await self._workers.now()
        await self._outcomes.start()
        parts = (self._workers.run(), self.families.run(), self._store.run(), self._learn_forever())
        self._tasks = [asyncio.create_task(part) for part in parts]
        self._served = {
            "configure": await services.serve(self._bus, subjects.CONFIGURE, Configure, self.configure),
            "policy": await services.serve(self._bus, subjects.POLICY, AskPolicy, lambda _: self.policy()),
        }
        self._announcement = await services.announce(
            self._bus, SERVICE, f"chooses relay configurations, policy {self._policy.name}", self._served
        )
        await self._bus.barrier()  # the server knows of it: whoever asks from now on is heard
        log.info("scheduler ready, policy %s", self._policy.name)

    async def stop(self) -> None:
        """Answer nothing more and leave unlearned outcomes to the next replica."""
        if self._announcement is not None:
            await self._announcement.stop()
        for each in self._served.values():
            await each.stop()
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._outcomes.stop()

    async def wait(self) -> None:
        """Until one of the loops ends, which only an error can make it do; the error is raised."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def configure(self, question: Configure) -> Decision:
        """Decide, log, answer: nothing is answered that is not in the log. Raises what ``decide`` raises."""
        began = time.perf_counter()
        try:
            record = await self._decide(question)
        except RiseError as error:
            metrics.REFUSED.labels(error.reason).inc()
            raise
        metrics.count_decision(record, time.perf_counter() - began)
        log.info("job %s attempt %d: %s", question.request.job_id, question.attempt, record.decision.arm)
        return record.decision

    async def learn(self, outcome: Outcome) -> Verdict:
        """Learn from an outcome, once however often it comes. Raises UnknownDecision, StateRefused."""
        _check_id(outcome.decision_id)
        self._reckoning.over(outcome.decision_id)
        verdict, record = await self._store.learn(outcome)
        metrics.count_outcome(verdict)
        if verdict is Verdict.LEARNED:
            metrics.note_error(record, outcome)
        log.info("outcome of decision %s: %s", outcome.decision_id, verdict)
        return verdict

    async def act(self, said: UserAct) -> Verdict:
        """Learn from what a user did with a picture that nobody has judged. Raises UnknownDecision, and what
        ``outcome_of_act`` does."""
        _check_id(said.decision_id)
        return await self.learn(outcome_of_act(await self._store.decision(said.decision_id), said, time.time()))

    async def decision(self, decision_id: str) -> DecisionRecord:
        """Why a job got its configuration, and what came of it. Raises UnknownDecision."""
        _check_id(decision_id)
        return await self._store.decision(decision_id)

    async def fleet(self) -> FleetReport:
        """The workers that are there now."""
        return reports.fleet_report(self._fleet(), time.time())

    async def policy(self) -> PolicyReport:
        """How it would choose now, and what it has learned, by family."""
        standing = reports.Standing(
            self._policy, self._fleet(), time.time(), self._pacer, self._learning, self._default_reference_s
        )
        families = [
            reports.family_report(family, await self._store.learned(family.metadata.name), standing)
            for family in await self.families.all()
        ]
        return PolicyReport(at=standing.at, policy=self._policy.name, families=tuple(families))

    def _fleet(self) -> Fleet:
        self._seen = self._seen.now(self._workers.alive(), self._reckoning.backlogs(time.time()))
        return self._seen

    async def _decide(self, question: Configure) -> DecisionRecord:
        name = question.request.spec.family
        family, learned = await self.families.get(name), await self._store.learned(name)
        record, self._pacer = decide(
            question,
            family,
            self._fleet().open_to(question.request),
            learned,
            self._policy,
            decision_id=uuid.uuid4().hex,
            at=time.time(),
            pacer=self._pacer,
            default_reference_s=self._default_reference_s,
        )
        self._reckoning.note(record)
        await self._store.note(record)
        return record

    async def _learn_forever(self) -> None:
        while True:
            delivery = await self._outcomes.next()
            if delivery is not None:
                await self._learn(delivery)

    async def _learn(self, delivery: Delivery) -> None:
        """Learn from one outcome. Acknowledged when it is stored, or when it never can be."""
        try:
            outcome = codec.decode(Outcome, delivery.data)
            await self.learn(outcome)
        except (InvalidInput, UnknownDecision) as error:
            log.warning("an outcome is dropped: %s", error)
            await delivery.term()
        except StateRefused as error:
            log.error("an outcome has to wait: %s", error)
            await delivery.nak(NEWER_STATE_RETRY_S)
        except RiseError as error:
            log.warning("an outcome is tried again: %s", error)
            await _later(delivery)
        except Exception:
            log.exception("an outcome could not be learned from (delivery %d)", delivery.deliveries)
            await (delivery.term() if delivery.deliveries >= GIVE_UP_AFTER else _later(delivery))
        else:
            await delivery.ack()


def _check_id(decision_id: str) -> None:
    if _ID.fullmatch(decision_id) is None:
        raise UnknownDecision(decision_id[:64])


async def _later(delivery: Delivery) -> None:
    # With the bus away the nak is lost, and the message comes again by itself.
    with suppress(RiseError):
        await delivery.nak(RETRY_S)
