"""The scheduler's answers over a real nats-server."""

from __future__ import annotations

import json

import pytest

from rise_contracts import codec, errors, subjects
from rise_contracts.decisions import DecisionRecord
from rise_contracts.messages import Decision
from rise_contracts.reports import AskPolicy, PolicyReport
from rise_contracts.resources import ModelFamily
from rise_runtime import layout, services
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.families import Families
from rise_scheduler.composed.policy import ComposedPolicy
from rise_scheduler.reports import ORDINARY_PREFERENCE, ORDINARY_PROMPT
from tests.bus.scheduler_world import ask, beat, prepare, replica
from tests.servers import Server
from tests.unit.scheduler.builders import family, fixed, question, worker

RELAY = [{"member": "large", "steps": 6, "untilSigma": 1.2}, {"member": "finisher", "steps": 6}]


async def test_a_job_gets_a_configuration_and_the_log_says_why(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with replica(nats_server):
        decision = await ask(bus, question(preference=1.0))
    assert decision.arm == "large:6@1.2+finisher:6"
    assert decision.predictions.stage_seconds == pytest.approx((0.6, 0.12))
    entry = await Bucket(bus, subjects.KV_DECISIONS).get(decision.id)
    assert entry is not None
    assert entry.value is not None
    record = codec.decode(DecisionRecord, entry.value)
    assert record.decision == decision
    assert len(record.candidates) == 7


async def test_a_job_goes_to_who_holds_the_member_and_the_log_has_what_loading_would_cost(
    nats_server: Server, bus: Bus
) -> None:
    cold = worker("device-0", "device", members=(), load_seconds={"small": 4.0, "finisher": 4.0})
    await prepare(bus, worker(), cold, worker("device-1", "device", members=("finisher",)))
    async with replica(nats_server, ComposedPolicy()):
        decision = await ask(bus, question(preference=1.0, relay={"mode": "Fixed", "stages": RELAY}))
        assert [stage.worker for stage in decision.configuration.stages] == [None, "device-1"]
        assert decision.predictions.load_s == 0.0
        decision = await ask(bus, question(relay={"mode": "Fixed", "stages": [{"member": "small", "steps": 20}]}))
    assert decision.predictions.load_s == pytest.approx((4.0 + 4.0) / 2)
    entry = await Bucket(bus, subjects.KV_DECISIONS).get(decision.id)
    assert entry is not None
    assert entry.value is not None
    basis = codec.decode(DecisionRecord, entry.value).basis
    assert basis is not None
    assert basis.loads == pytest.approx((4.0,))


async def test_a_job_without_workers_is_told_to_wait_and_served_when_they_come(nats_server: Server, bus: Bus) -> None:
    await layout.ensure(bus)
    await Families(bus).publish(family())
    async with replica(nats_server):
        with pytest.raises(errors.RemoteError, match="no edge worker is ready; no device worker is ready") as caught:
            await services.ask(bus, subjects.CONFIGURE, question(), Decision, timeout=10.0)
        assert caught.value.retriable
        assert caught.value.reason == "Busy"
        assert (await ask(bus, question())).arm


async def test_a_worker_that_says_goodbye_is_not_used_any_more(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with replica(nats_server):
        assert "finisher" in (await ask(bus, question())).arm
        await Bucket(bus, subjects.KV_WORKERS).remove(subjects.heartbeat("device", "device", "device-0"))
        for _ in range(200):
            await beat(bus, worker())
            decision = await services.ask(bus, subjects.CONFIGURE, question(), Decision, timeout=10.0)
            if decision.arm == "large:20":
                return
    pytest.fail("the worker that left was still used")


async def test_an_unknown_family_gets_the_nearest_name(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with replica(nats_server):
        with pytest.raises(errors.RemoteError, match="did you mean 'rise-shapes'") as caught:
            await services.ask(bus, subjects.CONFIGURE, question(family="rise-shape"), Decision, timeout=10.0)
    assert (caught.value.reason, caught.value.retriable) == ("UnknownName", False)
    assert caught.value.exit_code == 2


async def test_while_no_family_is_known_a_job_has_to_wait(nats_server: Server, bus: Bus) -> None:
    await layout.ensure(bus)
    async with replica(nats_server):
        with pytest.raises(errors.RemoteError, match="no model family is known yet") as caught:
            await services.ask(bus, subjects.CONFIGURE, question(), Decision, timeout=10.0)
    assert caught.value.retriable


async def test_a_mistake_in_a_fixed_job_is_refused_for_good(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with replica(nats_server):
        with pytest.raises(errors.RemoteError, match="did you mean 'finisher'") as caught:
            await ask(bus, question(relay=fixed({"member": "finishr", "steps": 3})))
    assert not caught.value.retriable


async def test_a_family_that_changes_is_used_at_once(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with replica(nats_server):
        assert (await ask(bus, question(preference=1.0))).arm == "large:6@1.2+finisher:6"
        stages = [{"member": "large", "steps": 9, "untilSigma": 1.0}, {"member": "finisher", "steps": 3}]
        changed: ModelFamily = family(relays=[{"name": "new", "stages": stages}])
        await Families(bus).publish(changed)
        assert (await ask(bus, question(preference=1.0))).arm == "large:9@1+finisher:3"


async def test_a_question_that_is_none_is_answered_with_the_reason(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with replica(nats_server):
        reply = await bus.request(subjects.CONFIGURE, b"{}", timeout=10.0)
        with pytest.raises(errors.RemoteError) as caught:
            codec.decode_reply(Decision, reply.data)
    assert caught.value.reason == "InvalidInput"


async def test_it_answers_again_after_the_server_was_killed(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with replica(nats_server):
        await ask(bus, question())
        nats_server.kill()
        nats_server.start()
        assert (await _patiently(bus)).arm


async def _patiently(bus: Bus) -> Decision:
    for _ in range(200):
        try:
            await layout.ensure(bus)  # the workers' bucket is in memory: whoever is first makes it again
            return await ask(bus, question())
        except (errors.BusUnavailable, errors.Waited, errors.Busy):
            continue
    raise AssertionError("no answer after the restart")


async def test_the_nats_tools_find_it_and_what_it_answers(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with replica(nats_server):
        await ask(bus, question())
        found = json.loads((await bus.request("$SRV.STATS.rise-scheduler", timeout=10.0)).data)
    counted = {each["name"]: (each["subject"], each["num_requests"]) for each in found["endpoints"]}
    assert counted["policy"] == (subjects.POLICY, 0)
    subject, requests = counted["configure"]
    assert (subject, requests >= 1) == (subjects.CONFIGURE, True)
    with pytest.raises(errors.NoResponder):
        await bus.request("$SRV.PING.rise-scheduler", timeout=10.0)


async def test_it_says_over_the_bus_how_it_would_choose(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with replica(nats_server, ComposedPolicy()):
        decision = await ask(bus, question(prompt=ORDINARY_PROMPT, preference=ORDINARY_PREFERENCE))
        told = await services.ask(bus, subjects.POLICY, AskPolicy(), PolicyReport, timeout=10.0)
    assert told.policy == "composed"
    (known,) = told.families
    assert known.chosen == decision.arm
    assert known.price is not None
    assert len(known.arms) == 7
