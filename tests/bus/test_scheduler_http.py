"""The scheduler over HTTP: a real process, a real nats-server, real sockets."""

from __future__ import annotations

import asyncio
import socket
import time
from urllib.parse import quote

import httpx
import pytest

from rise_contracts import codec, subjects
from rise_contracts.decisions import DecisionRecord
from rise_contracts.messages import Problem, UserAct
from rise_contracts.reports import FleetReport, OutcomeReceipt, PolicyReport
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_scheduler.http import gate, server
from tests.bus.scheduler_http import JSON, outcome_of, running
from tests.bus.scheduler_world import PATIENCE_S, beat, learned, prepare, process, send
from tests.servers import Server
from tests.unit.scheduler.builders import question, worker

TOKEN = "s3cret-of-http"


def problem(response: httpx.Response, status: int) -> Problem:
    assert response.status_code == status, response.text
    return codec.decode(Problem, response.content)


async def test_what_is_decided_and_learned_over_http_is_on_the_bus(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with running(nats_server, RISE_POLICY="linucb") as scheduler:
        await beat(bus, worker(), worker("device-0", "device"))
        decision = await scheduler.decided()
        entry = await Bucket(bus, subjects.KV_DECISIONS).get(decision.id)
        assert entry is not None and entry.value is not None
        assert codec.decode(DecisionRecord, entry.value).decision == decision
        response = await scheduler.post("/v1/outcomes", outcome_of(decision, quality=0.8))
        assert codec.decode(OutcomeReceipt, response.content).verdict == "learned"
        posterior = await learned(bus, 1)
        assert posterior.mean_quality(decision.arm) == 0.8
        record = codec.decode(DecisionRecord, (await scheduler.http.get(f"/v1/decisions/{decision.id}")).content)
        assert record.settlement is not None and record.settlement.final
        assert record.outcome is not None and record.outcome.quality == 0.8


async def test_a_picture_that_a_user_keeps_is_learned_from_once(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with running(nats_server) as scheduler:
        await beat(bus, worker(), worker("device-0", "device"))
        decision = await scheduler.decided()
        kept = UserAct(decision_id=decision.id, act="keep")
        assert problem(await scheduler.post("/v1/acts", kept), 503).retriable
        await scheduler.post("/v1/outcomes", outcome_of(decision))
        for verdict in ("corrected", "replayed"):
            receipt = codec.decode(OutcomeReceipt, (await scheduler.post("/v1/acts", kept)).content)
            assert receipt.verdict == verdict
        record = codec.decode(DecisionRecord, (await scheduler.http.get(f"/v1/decisions/{decision.id}")).content)
        assert record.outcome is not None
        assert (record.outcome.quality, record.outcome.judged_by) == (1.0, "user")
        unknown = UserAct(decision_id="never-made", act="regenerate")
        assert problem(await scheduler.post("/v1/acts", unknown), 404).problem == "UnknownDecision"


async def test_an_outcome_that_came_over_the_bus_is_only_a_replay_over_http(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with running(nats_server) as scheduler:
        await beat(bus, worker(), worker("device-0", "device"))
        decision = await scheduler.decided()
        outcome = outcome_of(decision, quality=0.4)
        await send(bus, outcome)
        await learned(bus, 1)
        for _ in range(2):
            receipt = codec.decode(OutcomeReceipt, (await scheduler.post("/v1/outcomes", outcome)).content)
            assert receipt.verdict == "replayed"
        assert (await learned(bus, 1)).outcomes == 1


async def test_many_outcomes_at_once_over_both_ways_are_each_learned_once(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with running(nats_server) as scheduler:
        await beat(bus, worker(), worker("device-0", "device"))
        decisions = [await scheduler.decided(question(job_id=f"job-{i}")) for i in range(20)]
        outcomes = [outcome_of(decision, quality=0.5) for decision in decisions]
        responses, _ = await asyncio.gather(
            asyncio.gather(*(scheduler.post("/v1/outcomes", outcome) for outcome in outcomes)), send(bus, *outcomes)
        )
        verdicts = {codec.decode(OutcomeReceipt, response.content).verdict for response in responses}
        assert verdicts <= {"learned", "replayed"}
        assert (await learned(bus, 20)).outcomes == 20


async def test_bad_requests_are_refused_and_the_process_lives_on(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with running(nats_server) as scheduler:
        await beat(bus, worker(), worker("device-0", "device"))
        decision = await scheduler.decided()
        send_to, http = "/v1/configurations", scheduler.http
        assert problem(await http.post(send_to, content=b"{", headers=JSON), 422).problem == "InvalidInput"
        assert problem(await http.post(send_to, content=b"{}"), 415).problem == "UnsupportedBody"
        large = await http.post(send_to, content=b" " * (gate.BODY_LIMIT * 4), headers=JSON)
        assert problem(large, 413).problem == "PayloadTooLarge"
        told = problem(await scheduler.post(send_to, question(family="rise-shape")), 404)
        assert "did you mean 'rise-shapes'" in told.message
        for bad in ("never-made", "a b", "*", ">", "x\r\nPUB y 0", "a.b"):
            unknown = await scheduler.post("/v1/outcomes", outcome_of(decision, decision_id=bad))
            assert problem(unknown, 404).problem == "UnknownDecision"
            problem(await http.get(f"/v1/decisions/{quote(bad, safe='')}"), 404)
        wrong = await scheduler.post("/v1/outcomes", outcome_of(decision, arm="small:3"))
        assert problem(wrong, 422).problem == "InvalidInput"
        assert (await scheduler.decided()).arm == decision.arm


async def test_an_outcome_on_the_bus_whose_id_can_be_none_holds_nothing_up(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with running(nats_server) as scheduler:
        await beat(bus, worker(), worker("device-0", "device"))
        decision = await scheduler.decided()
        await send(bus, *(outcome_of(decision, decision_id=bad) for bad in ("a b", "*", "")))
        await send(bus, outcome_of(decision, quality=0.5))
        assert (await learned(bus, 1)).outcomes == 1


async def test_the_token_is_asked_for_and_never_logged(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with running(nats_server, RISE_HTTP_TOKEN=TOKEN) as scheduler:
        for headers in ({}, {"Authorization": "Bearer other"}):
            response = await scheduler.http.get("/v1/fleet", headers=headers)
            assert problem(response, 401).problem == "Unauthorized"
        scheduler.http.headers["Authorization"] = f"Bearer {TOKEN}"
        assert (await scheduler.http.get("/v1/fleet")).status_code == 200
    assert TOKEN not in "".join(scheduler.said)


async def test_the_fleet_and_the_policy_are_told(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with running(nats_server, RISE_POLICY="linucb") as scheduler:
        await beat(bus, worker(), worker("device-0", "device"))
        await scheduler.decided()
        fleet = codec.decode(FleetReport, (await scheduler.http.get("/v1/fleet")).content)
        assert [beat.worker for beat in fleet.edge.workers] == ["edge-0"]
        policy = codec.decode(PolicyReport, (await scheduler.http.get("/v1/policy")).content)
        assert policy.policy == "linucb"
        (family,) = policy.families
        assert len(family.arms) == 7
        assert family.chosen in {arm.seen.arm for arm in family.arms}


async def test_health_and_metrics_are_served_once(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with running(nats_server) as scheduler:
        await beat(bus, worker(), worker("device-0", "device"))
        decision = await scheduler.decided()
        await scheduler.post("/v1/outcomes", outcome_of(decision))
        assert (await scheduler.http.get("/healthz")).status_code == 200
        assert (await scheduler.http.get("/readyz")).status_code == 200
        text = (await scheduler.http.get("/metrics")).text
    assert f'rise_decisions_total{{arm="{decision.arm}",policy="composed"}} 1.0' in text
    assert "rise_decision_seconds_count 1.0" in text
    assert 'rise_outcomes_total{verdict="learned"} 1.0' in text
    assert 'rise_prediction_ratio_count{policy="composed"} 1.0' in text
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with running(nats_server, RISE_HEALTH=str(port)) as scheduler:
        assert (await scheduler.http.get("/healthz")).status_code == 404
        assert (await scheduler.http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200


async def test_while_the_bus_is_away_it_says_when_to_come_again(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    async with running(nats_server) as scheduler:
        await beat(bus, worker(), worker("device-0", "device"))
        decision = await scheduler.decided()
        nats_server.kill()
        response = await scheduler.post("/v1/outcomes", outcome_of(decision))
        assert problem(response, 503).retriable
        assert int(response.headers["retry-after"]) >= 1
        nats_server.start()
        deadline = time.monotonic() + PATIENCE_S
        while (response := await scheduler.post("/v1/outcomes", outcome_of(decision))).status_code == 503:
            assert time.monotonic() < deadline, response.text
        assert codec.decode(OutcomeReceipt, response.content).verdict == "learned"


async def test_whoever_connects_and_says_nothing_is_hung_up_on(nats_server: Server, bus: Bus) -> None:
    await prepare(bus)
    half = b"POST /v1/outcomes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    half += b"Content-Length: 9\r\n\r\n{"
    async with running(nats_server) as scheduler:

        async def answered(said: bytes) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", scheduler.port)
            writer.write(said)
            async with asyncio.timeout(4 * server.IDLE_S):
                answer = await reader.read()
            writer.close()
            return answer

        nothing, part, body = await asyncio.gather(answered(b""), answered(b"GET /v1/fl"), answered(half))
    assert (nothing, part) == (b"", b"")
    assert b" 503 " in body.splitlines()[0]


@pytest.mark.parametrize(
    ("address", "told"),
    [("0.0.0.0:0", "set RISE_HTTP_TOKEN"), ("everywhere", "a port or host:port"), ("TAKEN", "choose another port")],
)
async def test_an_address_that_will_not_do_is_one_line_and_exit_code_2(
    nats_server: Server, bus: Bus, address: str, told: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = address.replace("TAKEN", f"127.0.0.1:{taken.getsockname()[1]}")
        child = await process(nats_server, RISE_HTTP=where)
        _, said = await asyncio.wait_for(child.communicate(), PATIENCE_S)
    line = said.decode().strip().splitlines()[-1]
    assert child.returncode == 2, said
    assert line.startswith("rise_scheduler: ") and told in line
    assert "Traceback" not in said.decode()
