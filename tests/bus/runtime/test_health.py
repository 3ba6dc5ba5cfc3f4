"""Health and metrics over HTTP, and heartbeats over the bus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rise_contracts import errors, messages
from rise_runtime import client, guard, layout, telemetry
from rise_runtime.bus import Bus
from rise_runtime.heartbeat import Workers
from tests.bus.runtime import small


async def get(address: tuple[str, int], path: str, *headers: str, host: str = "localhost") -> tuple[int, str]:
    reader, writer = await asyncio.open_connection(*address)
    writer.write("\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode())
    answer = (await reader.read()).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


@contextlib.asynccontextmanager
async def connected(address: tuple[str, int]) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def read_out(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), 60)
    return b""


async def told_to(address: tuple[str, int], said: bytes) -> bytes:
    """What is answered to these bytes until the server hangs up."""
    async with connected(address) as (reader, writer):
        writer.write(said)
        return await read_out(reader)


async def test_health_says_whether_the_process_takes_work() -> None:
    ready = asyncio.Event()
    async with telemetry.served_health(("127.0.0.1", 0), ready.is_set) as address:
        assert address is not None
        assert await get(address, "/healthz") == (200, "ok\n")
        assert (await get(address, "/readyz"))[0] == 503
        ready.set()
        assert await get(address, "/readyz") == (200, "ready\n")
        assert (await get(address, "/other"))[0] == 404
        status, body = await get(address, "/metrics")
        assert status == 200
        assert "rise_stage_seconds" in body
        with pytest.raises(errors.InvalidInput, match="choose another port"):
            async with telemetry.served_health(address, ready.is_set):
                pass


async def test_a_process_that_should_be_started_anew_says_why() -> None:
    why = ["the watch is dead"]
    async with telemetry.served_health(("127.0.0.1", 0), lambda: True, lambda: why[0]) as address:
        assert address is not None
        assert await get(address, "/healthz") == (503, "the watch is dead\n")
        assert (await get(address, "/readyz"))[0] == 200
        why[0] = ""
        assert await get(address, "/healthz") == (200, "ok\n")


async def test_nothing_is_served_where_nothing_is_wanted() -> None:
    async with telemetry.served_health(None, lambda: True) as address:
        assert address is None


async def test_metrics_are_for_this_machine_by_its_own_names_where_there_is_no_token() -> None:
    async with telemetry.served_health(("127.0.0.1", 0), lambda: True) as address:
        assert address is not None
        for host in ("localhost", f"127.0.0.1:{address[1]}", "[::1]:80"):
            assert (await get(address, "/metrics", host=host))[0] == 200
        for host in ("attacker.example", "127.0.0.1.attacker.example", "[", "192.168.0.7"):
            status, told = await get(address, "/metrics", host=host)
            assert (status, "rise_" in told) == (403, False)
            assert (await get(address, "/healthz", host=host))[0] == 200
    async with telemetry.served_health(("0.0.0.0", 0), lambda: True) as address:
        assert address is not None
        here = ("127.0.0.1", address[1])
        status, told = await get(here, "/metrics")
        assert (status, "set RISE_METRICS_TOKEN" in told) == (403, True)
        assert await get(here, "/readyz") == (200, "ready\n")


async def test_metrics_beyond_loopback_want_the_token() -> None:
    keeper = guard.read("RISE_METRICS", {"RISE_METRICS_TOKEN": "s3cret"})
    async with telemetry.served_health(("0.0.0.0", 0), lambda: True, guard=keeper) as address:
        assert address is not None
        here = ("127.0.0.1", address[1])
        for header in ("", "Authorization: Bearer", "Authorization: Bearer other", "Authorization: Basic s3cret"):
            status, told = await get(here, "/metrics", header or "Accept: */*", host="rise:8080")
            assert (status, "s3cret" in told) == (401, False)
        status, told = await get(here, "/metrics", "authorization: bearer s3cret", host="rise:8080")
        assert (status, "rise_stage_seconds" in told) == (200, True)
        assert await get(here, "/healthz") == (200, "ok\n")


async def test_who_says_nothing_or_too_much_is_hung_up_on() -> None:
    async with telemetry.served_health(("127.0.0.1", 0), lambda: True, exchange_s=0.5) as address:
        assert address is not None
        for said in (b"", b"GET /metrics HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 4000):
            assert await told_to(address, said) == b""
        assert await get(address, "/healthz") == (200, "ok\n")


async def test_one_more_than_a_crowd_is_hung_up_on() -> None:
    # Nobody's time may end while the crowd gathers, however slow the machine is.
    async with telemetry.served_health(("127.0.0.1", 0), lambda: True, exchange_s=600) as address:
        assert address is not None
        async with contextlib.AsyncExitStack() as crowd:
            silent = [await crowd.enter_async_context(connected(address)) for _ in range(telemetry.CONNECTIONS)]
            assert await told_to(address, b"GET /healthz HTTP/1.1\r\n\r\n") == b""
            for reader, writer in silent:
                writer.write_eof()
                assert await read_out(reader) == b""
        assert await get(address, "/healthz") == (200, "ok\n")


async def test_metrics_count_what_was_done(bus: Bus, tmp_path: Path) -> None:
    await layout.ensure(bus)
    async with (
        telemetry.served_health(("127.0.0.1", 0), lambda: True) as address,
        small.scheduler(bus),
        small.driver(bus),
        small.worker(bus, "edge-1", tmp_path),
        small.worker(bus, "device-1", tmp_path),
    ):
        job = await client.submit(bus, small.spec())
        await client.wait(bus, job.job_id)
        await small.record_is(bus, job.job_id, "Complete")
        assert address is not None
        _, body = await get(address, "/metrics")
    assert 'rise_stages_total{member="large",result="done",tier="edge"}' in body
    assert 'rise_jobs_total{result="job-done"}' in body


async def test_a_living_worker_is_seen_and_one_that_left_is_not(bus: Bus, tmp_path: Path) -> None:
    await layout.ensure(bus)
    (tmp_path / "hold-0").touch()
    async with small.scheduler(bus), small.driver(bus), small.worker(bus, "edge-1", tmp_path):
        (idle,) = await client.list_workers(bus)
        assert (idle.worker, idle.tier, idle.pool, idle.busy_jobs, idle.ready) == ("edge-1", "edge", "edge", (), True)
        assert (idle.slots, idle.gain) == (1, 1.0)
        assert idle.rss_bytes > 0
        assert idle.link is not None
        assert idle.link.rtt_s > 0
        job = await client.submit(bus, small.spec())
        busy = await asyncio.wait_for(_busy(bus, job.job_id), 60)
        assert busy.worker == "edge-1"
        await client.cancel(bus, job.job_id)
    assert await client.list_workers(bus) == ()


async def _busy(bus: Bus, job_id: str) -> messages.Heartbeat:
    async for alive in Workers(bus).changes():
        for beat in alive:
            if beat.busy_jobs == (job_id,):
                return beat
    raise AssertionError("the watch ended")


async def test_a_worker_that_is_told_to_stop_says_that_it_wants_no_work(bus: Bus, tmp_path: Path) -> None:
    await layout.ensure(bus)
    (tmp_path / "hold-0").touch()
    async with small.scheduler(bus), small.driver(bus), small.worker(bus, "edge-1", tmp_path) as stop:
        await client.submit(bus, small.spec("stubborn"))
        await small.until((tmp_path / "held-0-edge-1").exists)
        stop.set()
        async with asyncio.timeout(60):
            async for alive in Workers(bus).changes():
                if alive and not alive[0].ready:
                    break
        (tmp_path / "hold-0").unlink()
    assert await client.list_workers(bus) == ()
