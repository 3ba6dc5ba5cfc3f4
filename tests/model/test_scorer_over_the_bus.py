"""The scorer's process over a real nats-server, with a tiny CLIP: what it says, how it takes its time, how it fails."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rise_contracts import codec, messages, subjects
from rise_contracts.resources import RelayJobSpec
from rise_runtime import client, layout
from rise_runtime.bus import Bus, connect
from rise_runtime.pulls import Consumer
from rise_stage.scoring.clip import ClipScorer
from rise_stage.scoring.pictures import opened
from tests.bus.runtime import small
from tests.model.tiny_clip import tiny_clip
from tests.model.workers import READY_S, platform
from tests.rings import lacks_nats_server
from tests.servers import Server

pytestmark = pytest.mark.skipif(bool(lacks_nats_server()), reason=lacks_nats_server())

PROMPT = "two red kites over a grey sea"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip") / "model")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path)
    running.start()
    yield running
    running.stop()


@pytest.fixture
async def bus(server: Server) -> AsyncIterator[Bus]:
    async with connect(server.url, server.token, patience=30) as opened:
        await layout.ensure(opened)
        yield opened


@contextmanager
def scorer(server: Server, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "rise_stage.scoring", *arguments],
        env={**os.environ, "RISE_NATS_URL": server.url, "RISE_NATS_TOKEN": server.token},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def judged(bus: Bus) -> messages.Outcome:
    """The first outcome that has a quality."""
    consumer = Consumer(bus, subjects.STREAM_OUTCOMES, (subjects.OUTCOMES,))
    await consumer.start()
    try:
        async with asyncio.timeout(READY_S):
            while True:
                delivery = await consumer.next()
                outcome = codec.decode(messages.Outcome, delivery.data) if delivery is not None else None
                if outcome is not None and outcome.quality is not None:
                    return outcome
    finally:
        await consumer.stop()


async def test_the_outcome_carries_the_label_of_the_stored_picture_and_the_scorers_name(
    server: Server, bus: Bus, folder: Path, tmp_path: Path
) -> None:
    async with (
        platform(bus, small.RELAY),
        small.worker(bus, "edge-1", tmp_path, size=64 * 64),
        small.worker(bus, "device-1", tmp_path, size=64 * 64),
    ):
        record = await client.submit(bus, RelayJobSpec(prompt=PROMPT, family="painted", seed=7))
        assert isinstance(await client.wait(bus, record.job_id), messages.JobDone)
        (png,) = (await client.fetch_result(bus, record.job_id)).images
        with scorer(server, f"clipscore:{folder}", "--share", "1", "--range", "-100", "100") as process:
            outcome = await judged(bus)
            if hasattr(os, "SCHED_IDLE"):
                assert os.sched_getscheduler(process.pid) == os.SCHED_IDLE
            process.terminate()
            _, said = await asyncio.to_thread(process.communicate)
    raw = ClipScorer("clipscore", folder).raw(PROMPT, opened(png))
    assert (outcome.job_id, outcome.judged_by) == (record.job_id, "clipscore")
    assert outcome.quality == pytest.approx((raw + 100) / 200, abs=1e-4)
    assert process.returncode == 0
    assert "clipscore" in said
    assert "kites" not in said


async def test_bad_weights_end_it_with_one_line(server: Server, bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with scorer(server, f"hpsv2:{tmp_path / 'empty'}") as process:
        _, said = await asyncio.to_thread(process.communicate)
    assert process.returncode == 2
    assert "judge: wanted preprocessor_config.json" in said
    assert "Traceback" not in said
