"""Stage workers that are killed in mid-stage, over a real nats-server: another goes on, and the picture is the same."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rise_contracts import codec, manifest, messages, subjects
from rise_contracts.resources import ModelFamily, RelayJobSpec
from rise_runtime import client, layout
from rise_runtime.bus import Bus, Incoming
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.images import to_png
from tests.bus.runtime import small
from tests.model.workers import beating
from tests.rings import lacks_nats_server
from tests.servers import Server

pytestmark = pytest.mark.skipif(bool(lacks_nats_server()), reason=lacks_nats_server())

STEPS = 200
WORKERS = ("edge-1", "edge-2", "edge-3")


@contextlib.contextmanager
def workers(server: Server, family: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Worker processes of one pool by name, that keep checkpoints as often as they may."""
    environment = {**os.environ, "RISE_NATS_URL": server.url, "RISE_NATS_TOKEN": server.token}
    flags = ["--family", str(family), "--member", "large", "--member", "small", "--checkpoint-s", "0.01"]
    command = [sys.executable, "-m", "rise_stage", "--tier", "edge", *flags]
    started = {name: subprocess.Popen([*command, "--name", name], env=environment) for name in WORKERS}
    try:
        yield started
    finally:
        for process in started.values():
            process.kill()
            process.wait()


@contextlib.asynccontextmanager
async def checkpoints_heard(bus: Bus) -> AsyncIterator[asyncio.Queue[messages.Checkpoint]]:
    """Every checkpoint as the server gets it."""
    heard: asyncio.Queue[messages.Checkpoint] = asyncio.Queue()

    def hear(message: Incoming) -> None:
        heard.put_nowait(codec.decode(messages.Checkpoint, message.data))

    hearing = await bus.subscribe(subjects.ALL_CHECKPOINTS, hear)
    yield heard
    await hearing.stop()


async def worker_at(bus: Bus, job_id: str, stage: int) -> str:
    """Who has begun the stage."""
    async for event, _ in client.watch(bus, job_id):
        if isinstance(event, messages.StageStarted) and event.stage == stage:
            return event.worker
    raise AssertionError(f"job {job_id} ended without stage {stage}")


async def test_a_head_and_a_tail_whose_workers_are_killed_end_with_the_same_picture(
    bus: Bus, nats_server: Server, sd: ModelFamily, sd_engine: Engine, tmp_path: Path
) -> None:
    await layout.ensure(bus)
    family = tmp_path / "tiny.yaml"
    family.write_text(manifest.dump(sd))
    arm = configuration_of(f"large:{STEPS}@1.2+small:{STEPS}", sd, solver="unipc")
    stages = tuple(stage.model_copy(update={"tier": "edge", "pool": "edge"}) for stage in arm.stages)
    configuration = arm.model_copy(update={"stages": stages})
    with workers(nats_server, family) as processes:
        await beating(bus, len(WORKERS))
        async with (
            checkpoints_heard(bus) as heard,
            small.scheduler(bus, configuration),
            small.driver(bus, small.PATIENT),
            asyncio.timeout(240),
        ):
            job = await client.submit(bus, RelayJobSpec(family="tiny", prompt="a red dot", seed=3))
            killed = []
            for stage in (0, 1):
                while (await heard.get()).stage != stage:
                    pass
                killed.append(await worker_at(bus, job.job_id, stage))
                processes[killed[-1]].kill()
            ending = await client.wait(bus, job.job_id)
        assert isinstance(ending, messages.JobDone), ending
        result = await client.fetch_result(bus, job.job_id)
    assert ending.attempt == 1
    for report, dead in zip(ending.stages, killed, strict=True):
        assert report.worker != dead
        assert report.steps == STEPS
        assert 0 < report.resumed_at < STEPS
        assert report.earlier_seconds > 0
    wanted = sd_engine.generate(["a red dot"], [3], configuration).images[0]
    assert result.images == (to_png(wanted),)
