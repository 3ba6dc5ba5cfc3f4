"""A disk that fills under a real server, and whoever waits for its streams meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.chaos import disk
from benchmarks.chaos.tap import tapped
from rise_runtime import streams
from rise_runtime.bus import connect
from rise_runtime.pulls import Consumer
from tests.servers import Server

pytestmark = pytest.mark.skipif(bool(disk.lacks()), reason=f"needs {disk.lacks()}")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with disk.small(tmp_path / "disk") as folder:
        started = Server(folder)
        started.start()
        yield started
        started.stop()


async def test_who_waits_for_work_outlives_a_full_disk(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with tapped(server.url) as tap, connect(tap.url, server.token, patience=10.0) as bus:
        await streams.ensure(bus, "WORK", ("work.>",), retention="workqueue")
        consumer = Consumer(bus, "WORK", ("work.>",), durable="any", ack_wait_s=1.0)
        await consumer.start()
        waiting = asyncio.create_task(consumer.next())
        disk.fill(tmp_path / "disk")
        # Connected anew it sees to its consumer, which cannot be written: it has to wait, and not to end.
        hold = tap.hold(lambda said: said.subject == "a.word")
        await bus.publish("a.word")
        await asyncio.wait_for(hold.met.wait(), 20)
        hold.drop()
        async with asyncio.timeout(20):
            while not any("no space left" in record.getMessage() for record in caplog.records):
                await asyncio.sleep(0.01)
        assert not waiting.done()
        disk.empty(tmp_path / "disk")
        server.kill()
        server.start()
        await streams.store(bus, "work.a", b"at last", patience=30.0)
        delivery = await asyncio.wait_for(waiting, 30)
        assert delivery is not None and delivery.data == b"at last"
        await consumer.stop()


def test_a_disk_is_filled_to_the_last_byte_and_emptied_again(tmp_path: Path) -> None:
    with disk.small(tmp_path / "disk") as folder:
        disk.fill(folder)
        with pytest.raises(OSError, match="No space left"):
            (folder / "more").write_bytes(b"x")
        disk.empty(folder)
        (folder / "more").write_bytes(b"x" * 1_000_000)
    assert not (tmp_path / "disk" / "more").exists()
