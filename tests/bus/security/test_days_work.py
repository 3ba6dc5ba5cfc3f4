"""A whole relay, each part under an identity of its own, over TLS: the rights suffice for a day's work, and keys are
exchanged meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from rise_cli import audit
from rise_contracts import messages, subjects
from rise_contracts.rights import Principal
from rise_runtime import client, layout, streams
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.families import Families
from rise_runtime.heartbeat import Workers
from rise_shapes import family
from rise_stage.judge import run_judge
from rise_stage.scoring.service import Settings, run_scorer
from tests.bus.runtime import small
from tests.bus.security.days import Day, day
from tests.bus.security.matrix import AUDITOR, DEVICE, EDGE, JUDGE, OPERATOR, OTHER, PRIVATE, SCHEDULER, USER
from tests.bus.security.people import People
from tests.kube.children import Child
from tests.pictures import WIDTH
from tests.servers import Server

LARGE = 3 * 1024 * 1024


@pytest.mark.usefixtures("forbidden")
@pytest.mark.parametrize("size", [32, LARGE], ids=["small", "in chunks"])
async def test_a_job_goes_through(server: Server, people: People, tmp_path: Path, size: int) -> None:
    async with day(server, people, tmp_path, EDGE, DEVICE, size=size) as today:
        assert (await today.made(7)).images == (small.expected(7, size),)


@pytest.mark.usefixtures("forbidden")
async def test_the_user_sees_all_of_it_and_may_end_it(server: Server, people: People, tmp_path: Path) -> None:
    async with day(server, people, tmp_path, EDGE, DEVICE) as today:
        user = today.buses[USER]
        await Workers(user).until_ready(["edge-1", "device-1"], 60.0, "")
        hold = tmp_path / "hold-1"
        hold.touch()
        job = await client.submit(user, small.spec(seed=7))
        wanted = {"stage-started device-1", "stage-progress device-1", "stage-done edge-1"}
        async with asyncio.timeout(60):
            async for event, _ in client.watch(user, job.job_id):
                wanted.discard(f"{event.kind} {getattr(event, 'worker', '')}")
                if not wanted:
                    break
        assert (await client.cancel(user, job.job_id)).state == "Cancelled"
        hold.unlink()
        await small.record_is(user, job.job_id, "Cancelled")
        await client.remove(user, job.job_id)
        await small.until_gone(user, job.job_id)
        aside = await client.submit(user, small.spec(seed=8, suspend=True))
        await client.resume(user, aside.job_id)
        async with asyncio.timeout(60):
            await client.wait(user, aside.job_id)
        assert len(await client.list_jobs(user)) == 1


@pytest.mark.usefixtures("forbidden")
async def test_a_device_that_is_killed_is_followed_by_another(server: Server, people: People, tmp_path: Path) -> None:
    async with day(server, people, tmp_path, EDGE) as today:
        user = today.buses[USER]
        hold = tmp_path / "hold-1-after-2"
        hold.touch()
        first = await today.worker(DEVICE)
        job = await client.submit(user, small.spec("with a checkpoint", seed=7))
        await small.until((tmp_path / "held-1-device-1").exists)
        checkpoint = subjects.checkpoint("device.any", job.job_id, 1, 1)
        async with asyncio.timeout(60):
            while await streams.last(today.buses[OPERATOR], subjects.STREAM_CHECKPOINTS, checkpoint) is None:
                await asyncio.sleep(0.01)
        await first.kill()
        hold.unlink()
        second = await today.worker(OTHER)
        try:
            async with asyncio.timeout(60):
                ending = await client.wait(user, job.job_id)
            assert isinstance(ending, messages.JobDone)
            assert ending.stages[1].worker == "device-2" and ending.stages[1].resumed_at >= 1
            assert (await client.fetch_result(user, job.job_id)).images == (small.expected(7),)
        finally:
            await second.kill()


@pytest.mark.usefixtures("forbidden")
async def test_somebodys_own_device_is_sent_its_work(server: Server, people: People, tmp_path: Path) -> None:
    lane = small.stage(1, "device", last=True, worker="private-1")
    relay = small.RELAY.model_copy(update={"stages": (small.RELAY.stages[0], lane)})
    today = Day(server, people, tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        for who in (OPERATOR, SCHEDULER, USER, EDGE):
            today.buses[who] = await stack.enter_async_context(people.bus(today.url, who))
        await layout.ensure(today.buses[OPERATOR])
        await stack.enter_async_context(small.scheduler(today.buses[SCHEDULER], relay))
        await stack.enter_async_context(small.driver(today.buses[OPERATOR]))
        await stack.enter_async_context(small.worker(today.buses[EDGE], "edge-1", tmp_path))
        phone = await today.worker(PRIVATE)
        try:
            assert (await today.made(7)).images == (small.expected(7),)
        finally:
            await phone.kill()


@pytest.mark.usefixtures("forbidden")
async def test_judge_and_auditor_do_their_work(server: Server, people: People, tmp_path: Path) -> None:
    async with day(server, people, tmp_path, EDGE, DEVICE, size=32 * WIDTH) as today:
        await Families(today.buses[SCHEDULER]).publish(family())
        auditing = audit.run_auditor(today.buses[AUDITOR], audit.Settings(share=1.0))
        parts = [asyncio.create_task(work) for work in (run_judge(today.buses[JUDGE]), auditing)]
        try:
            result = await today.made(7)
            audits = Bucket(today.buses[USER], subjects.KV_AUDITS)
            async with asyncio.timeout(60):
                while await audits.get(result.done.job_id) is None:
                    await asyncio.sleep(0.02)
                while await _looked_at(today.buses[OPERATOR], subjects.DURABLE_JUDGE) == 0:
                    await asyncio.sleep(0.02)
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)


@pytest.mark.parametrize(("module", "who"), [("rise_stage.judge", JUDGE), ("rise_cli.audit", AUDITOR)])
async def test_a_process_beside_the_platform_begins_with_its_own_key(
    server: Server, people: People, tmp_path: Path, module: str, who: Principal
) -> None:
    """Who is not of the platform may make nothing there, and waits for those who may."""
    command = [sys.executable, "-m", module, *(("--share", "1") if who == AUDITOR else ())]
    url = server.url.replace("nats://", "tls://")
    environment = {**os.environ, **people.environment(who), "RISE_NATS_URL": url}
    beside = Child(who.role, command, tmp_path / "beside.log", environment)
    beside.start()
    try:
        beside.wait_until(lambda: "waiting for the platform" in beside.tail(), 60, "wait for a platform")
        async with day(server, people, tmp_path, EDGE, DEVICE, size=32 * WIDTH) as today:
            await Families(today.buses[SCHEDULER]).publish(family())
            done = (await today.made(7)).done
            audits = Bucket(today.buses[USER], subjects.KV_AUDITS)
            async with asyncio.timeout(60):
                if who == JUDGE:
                    while await _looked_at(today.buses[OPERATOR], subjects.DURABLE_JUDGE) == 0:
                        await asyncio.sleep(0.02)
                else:
                    while await audits.get(done.job_id) is None:
                        await asyncio.sleep(0.02)
    finally:
        beside.kill()
    assert "violation" not in beside.log.read_text().lower()


class Half:
    """Every picture is worth a half."""

    name = "half"

    def score(self, prompt: str, picture: Image.Image) -> float:
        return 0.5


async def test_a_scorer_does_its_work_with_the_judges_key(server: Server, people: People, tmp_path: Path) -> None:
    async with day(server, people, tmp_path, EDGE, DEVICE) as today:
        scoring = asyncio.create_task(run_scorer(today.buses[JUDGE], Half(), Settings(share=1.0)))
        try:
            await client.submit(today.buses[USER], small.spec(family="painted", seed=7))
            told = await small.outcomes(today.buses[OPERATOR], 2)
        finally:
            scoring.cancel()
            await asyncio.gather(scoring, return_exceptions=True)
    assert sorted((each.judged_by, each.quality) for each in told if each.judged_by) == [("half", 0.5)]


async def _looked_at(bus: Bus, durable: str) -> int:
    """Events that a consumer has acknowledged; none before it is made."""
    try:
        told = await streams.api(bus, f"CONSUMER.INFO.{subjects.STREAM_EVENTS}.{durable}")
    except streams.JetStreamError as error:
        if error.code != 404:
            raise
        return 0
    return int(told["ack_floor"]["consumer_seq"])


@pytest.mark.parametrize("who", [DEVICE, EDGE, OPERATOR, SCHEDULER, USER], ids=lambda who: who.role)
async def test_keys_are_exchanged_while_a_job_runs_and_nothing_is_lost(
    server: Server, people: People, tmp_path: Path, who: Principal
) -> None:
    async with day(server, people, tmp_path, EDGE, DEVICE) as today:
        holds = [tmp_path / f"hold-{stage}" for stage in (0, 1)]
        for hold in holds:
            hold.touch()
        user, again = today.buses[USER], asyncio.Event()
        job = await client.submit(user, small.spec(seed=7))
        await small.until((tmp_path / "held-0-edge-1").exists)
        today.buses[who].on_reconnect(again.set)
        people.rekey(who)
        server.reload(people.locks())
        await asyncio.wait_for(again.wait(), 30)
        for hold in holds:
            hold.unlink()
        async with asyncio.timeout(60):
            ending = await client.wait(user, job.job_id)
        assert isinstance(ending, messages.JobDone) and ending.attempt == 1
        assert (await client.fetch_result(user, job.job_id)).images == (small.expected(7),)
        assert (await today.made(8)).images == (small.expected(8),)


async def test_a_key_that_was_taken_away_opens_nothing_any_more(server: Server, people: People, tmp_path: Path) -> None:
    """What to do about a device that was stolen: its workers are gone, and the others' work goes on."""
    async with day(server, people, tmp_path, EDGE, DEVICE, OTHER) as today:
        server.reload(people.locks(without=DEVICE))
        await small.until(lambda: not today.buses[DEVICE].connected)
        alive = Workers(today.buses[USER])
        async with asyncio.timeout(60):
            while "device-1" in {beat.worker for beat in await alive.now()}:
                await asyncio.sleep(0.05)
        assert (await today.made(7)).images == (small.expected(7),)
        assert not today.buses[DEVICE].connected
        server.reload(people.locks())
        await small.until(lambda: today.buses[DEVICE].connected)
