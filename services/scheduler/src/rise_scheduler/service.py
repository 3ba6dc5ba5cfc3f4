"""The scheduler on the bus: answers configurations, learns from outcomes. All deciding is in ``decide`` and
``learn``.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from contextlib import suppress

from rise_contracts import codec, subjects
from rise_contracts.errors import InvalidInput, RiseError
from rise_contracts.messages import Configure, Decision, Outcome
from rise_runtime import services
from rise_runtime.bus import Bus, Subscription
from rise_runtime.families import Families
from rise_runtime.heartbeat import Workers
from rise_runtime.pulls import Consumer, Delivery
from rise_scheduler.composed.knowledge import Learning
from rise_scheduler.composed.price import Pacer
from rise_scheduler.decide import decide
from rise_scheduler.fleet import Fleet
from rise_scheduler.policies import Policy
from rise_scheduler.posterior_json import StateRefused
from rise_scheduler.reckoning import Reckoning
from rise_scheduler.store import Store, UnknownDecision

log = logging.getLogger(__name__)

GIVE_UP_AFTER = 10
"""An outcome that failed this often for a reason nobody foresaw is let go, so that the others are learned from."""
RETRY_S = 1.0
NEWER_STATE_RETRY_S = 60.0


class Scheduler:
    """One replica. ``start`` returns when it answers; ``stop`` ends it and gives back what it had not finished."""

    def __init__(
        self, bus: Bus, policy: Policy, *, default_reference_s: float, learning: Learning | None = None
    ) -> None:
        self._bus, self._policy = bus, policy
        self._workers = Workers(bus)
        self._default_reference_s = default_reference_s
        self._store = Store(bus, default_reference_s=default_reference_s, learning=learning)
        self._reckoning, self._pacer = Reckoning(), Pacer()
        self.families = Families(bus)
        self._outcomes = Consumer(
            bus,
            subjects.STREAM_OUTCOMES,
            (subjects.OUTCOMES,),
            durable=subjects.DURABLE_SCHEDULER,
            ack_wait_s=30.0,
            batch=1,
        )
        self._service: Subscription | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """See the workers that are there, then answer and learn."""
        await self._workers.now()
        await self._outcomes.start()
        self._tasks = [asyncio.create_task(self._workers.run()), asyncio.create_task(self._learn_forever())]
        self._service = await services.serve(self._bus, subjects.CONFIGURE, Configure, self.configure)
        await self._bus.barrier()  # the server knows of it: whoever asks from now on is heard
        log.info("scheduler ready, policy %s", self._policy.name)

    async def stop(self) -> None:
        """Answer nothing more and leave unlearned outcomes to the next replica."""
        if self._service is not None:
            await self._service.stop()
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
        family = await self.families.get(question.request.spec.family)
        learned, now = await self._store.learned(family.metadata.name), time.time()
        record, self._pacer = decide(
            question,
            family,
            Fleet(self._workers.alive(), self._reckoning.backlogs(now)).open_to(question.request),
            learned,
            self._policy,
            decision_id=uuid.uuid4().hex,
            at=now,
            pacer=self._pacer,
            default_reference_s=self._default_reference_s,
        )
        self._reckoning.note(record)
        await self._store.note(record)
        log.info("job %s attempt %d: %s", question.request.job_id, question.attempt, record.decision.arm)
        return record.decision

    async def _learn_forever(self) -> None:
        while True:
            delivery = await self._outcomes.next()
            if delivery is not None:
                await self._learn(delivery)

    async def _learn(self, delivery: Delivery) -> None:
        """Learn from one outcome. Acknowledged when it is stored, or when it never can be."""
        try:
            outcome = codec.decode(Outcome, delivery.data)
            self._reckoning.over(outcome.decision_id)
            verdict = await self._store.learn(outcome)
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
            log.info("outcome of decision %s: %s", outcome.decision_id, verdict)
            await delivery.ack()


async def _later(delivery: Delivery) -> None:
    # With the bus away the nak is lost, and the message comes again by itself.
    with suppress(RiseError):
        await delivery.nak(RETRY_S)
