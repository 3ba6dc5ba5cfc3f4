"""What the scheduler learns over a real nats-server: once, from every outcome, whatever dies."""

from __future__ import annotations

import asyncio
import json
import time

import numpy as np
import pytest

from rise_contracts import codec, subjects
from rise_contracts.decisions import DecisionRecord
from rise_contracts.messages import Outcome
from rise_runtime import streams
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_scheduler import posterior_json
from rise_scheduler.composed import knowledge_npz
from rise_scheduler.composed.knowledge import Knowledge
from rise_scheduler.composed.knowledge import learned as add
from rise_scheduler.composed.observe import observed
from rise_scheduler.composed.policy import ComposedPolicy
from rise_scheduler.context import FEATURES
from rise_scheduler.learn import settle
from rise_scheduler.posterior import Posterior
from rise_scheduler.posterior_json import SCHEMA
from tests.bus.scheduler_world import (
    COMPOSED,
    LEARNED,
    PATIENCE_S,
    ask,
    known,
    learned,
    prepare,
    process,
    replica,
    send,
)
from tests.servers import Server
from tests.unit.scheduler.builders import decided, nothing_learned, outcome_of, question
from tests.unit.scheduler.composed.seen import HOW


def decisions(count: int) -> list[DecisionRecord]:
    """Decisions on jobs of different preferences, as the scheduler would log them."""
    return [
        decided(question(job_id=f"job-{i}", preference=(i % 5) / 4), decision_id=f"d{i}", at=1000.0)
        for i in range(count)
    ]


def outcomes_of(records: list[DecisionRecord]) -> list[Outcome]:
    return [outcome_of(record, 0.5 + i / 10, quality=(i % 10) / 10) for i, record in enumerate(records)]


async def log(bus: Bus, records: list[DecisionRecord]) -> None:
    for record in records:
        await Bucket(bus, subjects.KV_DECISIONS).put(record.decision.id, codec.encode(record))


def one_learner(records: list[DecisionRecord]) -> Posterior:
    posterior = nothing_learned()
    for record, outcome in zip(records, outcomes_of(records), strict=True):
        posterior, _ = settle(posterior, record, outcome, default_reference_s=5.0)
    return posterior


def same(a: Posterior, b: Posterior) -> None:
    assert {name: sums.n for name, sums in a.arms.items()} == {name: sums.n for name, sums in b.arms.items()}
    for name in a.arms:
        np.testing.assert_allclose(a.arm(name).xtx, b.arm(name).xtx, rtol=0, atol=1e-12)
        np.testing.assert_allclose(a.arm(name).rx, b.arm(name).rx, rtol=0, atol=1e-12)


def one_composed_learner(records: list[DecisionRecord]) -> Knowledge:
    knowledge = Knowledge()
    for record, outcome in zip(records, outcomes_of(records), strict=True):
        seen = observed(record, outcome)
        assert seen is not None
        knowledge = add(knowledge, seen, HOW)
    return knowledge


def same_seconds(a: Knowledge, b: Knowledge) -> None:
    """All but the qualities, whose alarms depend on the order."""
    assert (a.clock, set(a.levels), dict.fromkeys(a.settled)) == (b.clock, set(b.levels), dict.fromkeys(b.settled))
    for name in a.levels:
        one, two = a.level(name, HOW), b.level(name, HOW)
        assert (one.n, one.total) == pytest.approx((two.n, two.total), abs=1e-9)


async def marked(bus: Bus, decision_id: str, *, final: bool) -> DecisionRecord:
    """The decision's record once its outcome is in it."""
    async with asyncio.timeout(PATIENCE_S):
        async for entry in Bucket(bus, subjects.KV_DECISIONS).watch(decision_id):
            if entry is not None and entry.value is not None:
                record = codec.decode(DecisionRecord, entry.value)
                if record.settlement is not None and record.settlement.final is final:
                    return record
    raise AssertionError("the watch ended")


async def test_an_outcome_is_learned_and_the_log_says_so(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with replica(nats_server):
        decision = await ask(bus, question())
        outcome = Outcome(
            decision_id=decision.id, job_id=decision.job_id, arm=decision.arm, latency_s=1.0, edge_s=0.5, quality=0.8
        )
        await send(bus, outcome)
        posterior = await learned(bus, 1)
        record = await marked(bus, decision.id, final=True)
    assert posterior.mean_quality(decision.arm) == 0.8
    assert record.outcome == outcome


async def test_a_repeated_outcome_counts_once_and_a_late_quality_corrects(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    first, second = decisions(2)
    await log(bus, [first, second])
    bare, judged = outcome_of(first, 1.0), outcome_of(first, 1.0, quality=0.3)
    last = outcome_of(second, 1.0, quality=0.5)
    async with replica(nats_server):
        await send(bus, bare, bare, judged, judged, bare, last)
        posterior = await learned(bus, 2, settled_finally=2)
    wanted = nothing_learned()
    for record, outcome in ((first, judged), (second, last)):
        wanted, _ = settle(wanted, record, outcome, default_reference_s=5.0)
    same(posterior, wanted)


async def test_an_outcome_that_was_learned_and_not_logged_is_logged_when_it_comes_again(
    nats_server: Server, bus: Bus
) -> None:
    """What a scheduler leaves that dies, or finds the bus away, between the two."""
    await prepare(bus)
    (record,) = decisions(1)
    await log(bus, [record])
    (outcome,) = outcomes_of([record])
    async with replica(nats_server):
        await send(bus, outcome)
        await marked(bus, record.decision.id, final=True)
        await log(bus, [record])
        await send(bus, outcome)
        again = await marked(bus, record.decision.id, final=True)
    assert again.outcome == outcome
    same(await learned_now(bus), one_learner([record]))


async def test_outcomes_that_make_no_sense_hold_nothing_up(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    (record,) = decisions(1)
    await log(bus, [record])
    unknown = outcome_of(record, 1.0).model_copy(update={"decision_id": "never-made"})
    out_of_range = outcome_of(record, 1.0, quality=9.5)
    async with replica(nats_server):
        await streams.store(bus, subjects.OUTCOMES, b"no outcome at all")
        await send(bus, unknown, out_of_range, outcome_of(record, 1.0, quality=0.5))
        posterior = await learned(bus, 1)
    assert posterior.outcomes == 1
    assert posterior.mean_quality(record.decision.arm) == 0.5


async def test_outcomes_wait_for_a_scheduler_that_is_away(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    records = decisions(5)
    await log(bus, records)
    await send(bus, *outcomes_of(records))
    async with replica(nats_server):
        same(await learned(bus, 5), one_learner(records))


async def test_two_replicas_learn_as_one(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    records = decisions(40)
    await log(bus, records)
    async with replica(nats_server), replica(nats_server):
        await send(bus, *outcomes_of(records))
        posterior, composed = await learned(bus, 40), await known(bus, 40)
    same(posterior, one_learner(records))
    same_seconds(composed, one_composed_learner(records))


async def test_a_scheduler_killed_while_it_learns_loses_and_repeats_nothing(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    records = decisions(60)
    await log(bus, records)
    outcomes = outcomes_of(records)
    first = await process(nats_server)
    await send(bus, *outcomes[:30])
    await learned(bus, 3)
    first.kill()
    await first.wait()
    second = await process(nats_server)
    await send(bus, *outcomes[30:], *outcomes[:5])
    posterior, composed = await learned(bus, 60), await known(bus, 60)
    second.terminate()
    assert await asyncio.wait_for(second.wait(), PATIENCE_S) == 0
    same(posterior, one_learner(records))
    same_seconds(composed, one_composed_learner(records))


async def test_a_damaged_record_is_set_aside_and_learning_goes_on(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    bucket = Bucket(bus, subjects.KV_SCHEDULER)
    revision = await bucket.put(LEARNED, b"{broken")
    (record,) = decisions(1)
    await log(bus, [record])
    async with replica(nats_server):
        assert (await ask(bus, question())).arm
        await send(bus, outcome_of(record, 1.0, quality=0.5))
        async with asyncio.timeout(PATIENCE_S):
            async for entry in bucket.watch(LEARNED):
                if entry is not None and entry.revision > revision:
                    break
        posterior = await learned_now(bus)
    assert posterior.outcomes == 1
    assert await set_aside(bus, revision) == b"{broken"


async def test_damaged_knowledge_of_the_composed_policy_is_set_aside_too(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    bucket = Bucket(bus, subjects.KV_SCHEDULER)
    revision = await bucket.put(COMPOSED, b"PK broken")
    (record,) = decisions(1)
    await log(bus, [record])
    async with replica(nats_server, ComposedPolicy()):
        assert (await ask(bus, question())).policy == "composed"
        await send(bus, outcome_of(record, 1.0, quality=0.5))
        await marked(bus, record.decision.id, final=True)
        composed = await known_now(bus)
    assert composed.clock == 1
    assert await set_aside(bus, revision) == b"PK broken"


async def test_a_policy_decides_by_what_it_learned_before_another_decided(nats_server: Server, bus: Bus) -> None:
    """Both learners learn whichever decides, so a change of policy starts from all that was seen."""
    await prepare(bus)
    async with replica(nats_server):
        first = await ask(bus, question())
        for index in range(30):
            decision = await ask(bus, question(job_id=f"job-{index}"))
            await send(
                bus,
                Outcome(
                    decision_id=decision.id,
                    job_id=decision.job_id,
                    arm=decision.arm,
                    latency_s=0.73,
                    edge_s=0.6,
                    stage_seconds=(0.6, 0.12),
                    quality=0.02,
                ),
            )
        await known(bus, 30)
    async with replica(nats_server, ComposedPolicy(alpha=0.0)):
        assert (await ask(bus, question(job_id="later"))).arm != first.arm


async def known_now(bus: Bus) -> Knowledge:
    entry = await Bucket(bus, subjects.KV_SCHEDULER).get(COMPOSED)
    assert entry is not None
    assert entry.value is not None
    return knowledge_npz.load(entry.value)


async def test_a_record_of_a_newer_release_is_left_alone_and_outcomes_wait(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    bucket = Bucket(bus, subjects.KV_SCHEDULER)
    newer = json.dumps({"schema": SCHEMA + 1}).encode()
    revision = await bucket.put(LEARNED, newer)
    (record,) = decisions(1)
    await log(bus, [record])
    async with replica(nats_server):
        await send(bus, outcome_of(record, 1.0, quality=0.5))
        assert (await ask(bus, question())).arm
        await _delivered(bus)
    entry = await bucket.get(LEARNED)
    assert entry is not None
    assert (entry.value, entry.revision) == (newer, revision)
    waiting = await streams.api(bus, f"CONSUMER.INFO.{subjects.STREAM_OUTCOMES}.{subjects.DURABLE_SCHEDULER}")
    assert waiting["num_ack_pending"] == 1


async def set_aside(bus: Bus, revision: int) -> bytes:
    """The damaged record that stood at this revision."""
    kept = await Bucket(bus, subjects.KV_SCHEDULER).get(f"damaged.rise-shapes.{revision}")
    assert kept is not None
    assert kept.value is not None
    return kept.value


async def learned_now(bus: Bus) -> Posterior:
    entry = await Bucket(bus, subjects.KV_SCHEDULER).get(LEARNED)
    assert entry is not None
    assert entry.value is not None
    return posterior_json.load(entry.value, FEATURES)


async def _delivered(bus: Bus) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        info = await streams.api(bus, f"CONSUMER.INFO.{subjects.STREAM_OUTCOMES}.{subjects.DURABLE_SCHEDULER}")
        if info["delivered"]["stream_seq"] >= 1:
            return
    raise AssertionError("the outcome was not delivered")
