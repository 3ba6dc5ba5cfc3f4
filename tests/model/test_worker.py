"""Stage workers as processes of their own, over a real nats-server: the latent crosses, the picture is the same."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import rise_shapes
from rise_contracts import codec, manifest, messages, subjects
from rise_contracts.configuration import Configuration
from rise_contracts.frames import latent_frames
from rise_contracts.resources import ModelFamily, RelayJobSpec
from rise_runtime import client, layout
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.families import Families
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.images import to_png
from tests.bus.runtime import small
from tests.model.one_side import CUTS, STEPS, cut_at, uncut
from tests.model.workers import READY_S, beating, platform, worker
from tests.rings import lacks_nats_server
from tests.servers import Server

pytestmark = pytest.mark.skipif(bool(lacks_nats_server()), reason=lacks_nats_server())


async def pictures(
    bus: Bus, configuration: Configuration, frames: int | None = None
) -> tuple[tuple[bytes, ...], messages.JobDone]:
    async with platform(bus, configuration):
        spec = RelayJobSpec(family="tiny", prompt="a red dot", seed=3, frames=frames)
        job = await client.submit(bus, spec)
        async with asyncio.timeout(120):
            ending = await client.wait(bus, job.job_id)
        assert isinstance(ending, messages.JobDone), ending
        return (await client.fetch_result(bus, job.job_id)).images, ending


async def test_a_cut_run_over_the_bus_gives_the_uncut_picture(
    bus: Bus, nats_server: Server, sd: ModelFamily, sd_engine: Engine, tmp_path: Path
) -> None:
    await layout.ensure(bus)
    family = tmp_path / "tiny.yaml"
    family.write_text(manifest.dump(sd))
    with (
        worker(nats_server, "edge", family),
        worker(nats_server, "device", family, "--member", "large", "--label", "owner=me"),
    ):
        beats = await beating(bus, 2)
        assert beats["edge-1"].members == ("large",)
        assert beats["edge-1"].seconds_per_step["large"] > 0
        assert beats["device-1"].labels == {"owner": "me"}
        published = await Bucket(bus, subjects.KV_FAMILIES).get("tiny")
        assert published is not None and published.value is not None
        assert codec.decode(ModelFamily, published.value).spec.members == sd.spec.members

        wanted = to_png(sd_engine.generate(["a red dot"], [3], uncut(sd, "euler")).images[0])
        for solver in ("euler", "ddim", "dpmpp_2m"):
            whole, done = await pictures(bus, uncut(sd, solver))
            assert [report.worker for report in done.stages] == ["edge-1"]
            if solver == "euler":
                assert whole == (wanted,)
            relayed, done = await pictures(bus, elsewhere(cut_at(sd_engine, CUTS[2], solver)))
            assert [(report.worker, report.steps) for report in done.stages] == [("edge-1", 3), ("device-1", STEPS - 3)]
            assert relayed == whole
        other, _ = await pictures(bus, configuration_of("large:2@1.2+small:3", sd))
        assert other[0].startswith(b"\x89PNG")


async def test_a_video_over_the_bus_is_the_one_that_is_made_at_once(
    bus: Bus, nats_server: Server, wan: ModelFamily, wan_engine: Engine, tmp_path: Path
) -> None:
    await layout.ensure(bus)
    family = tmp_path / "tiny.yaml"
    family.write_text(manifest.dump(wan))
    arm = configuration_of("large:2@1.2+small:3", wan)
    with worker(nats_server, "edge", family), worker(nats_server, "device", family, "--member", "small"):
        await beating(bus, 2)
        for frames in (5, None):
            videos, done = await pictures(bus, arm, frames)
            assert [image.frames for image in done.images] == [frames or 9]
            assert done.stages[0].handoff_bytes > latent_frames(frames or 9) * 4 * 8 * 8 * 4
            assert videos == (to_png(wan_engine.generate(["a red dot"], [3], arm, frames=frames).images[0]),)


async def test_a_worker_waits_until_its_family_is_made_known(bus: Bus, nats_server: Server, sd: ModelFamily) -> None:
    """As the pods of a cluster do, whose families somebody else publishes. Told to end meanwhile, it ends in peace."""
    await layout.ensure(bus)
    other = sd.model_copy(update={"metadata": sd.metadata.model_copy(update={"name": "other"})})
    with worker(nats_server, "edge", Path("bus:tiny")), worker(nats_server, "device", Path("bus:nowhere")):
        await Families(bus).publish(other)
        assert await client.list_workers(bus) == ()
        await Families(bus).publish(sd)
        beats = await beating(bus, 1)
        assert beats["edge-1"].members == ("large",)


async def test_jobs_of_the_embedded_family_share_an_edge_worker(bus: Bus, nats_server: Server) -> None:
    """As many at once as it has slots: all are done in their first attempt, and none's picture is changed by it."""
    await layout.ensure(bus)
    configuration = configuration_of("large:4@1.2+finisher:3", rise_shapes.family())
    specs = [RelayJobSpec(prompt=f"a {size} red circle", seed=seed) for seed, size in enumerate(("small", "large"))]
    with (
        worker(nats_server, "edge", Path("rise-shapes"), "--slots", "2", "--batch-memory-mib", "64"),
        worker(nats_server, "device", Path("rise-shapes")),
    ):
        beats = await beating(bus, 2)
        assert (beats["edge-1"].slots, beats["device-1"].slots) == (2, 1)
        async with platform(bus, configuration), asyncio.timeout(120):
            jobs = [await client.submit(bus, spec) for spec in specs]
            endings = [await client.wait(bus, job.job_id) for job in jobs]
            results = [await client.fetch_result(bus, job.job_id) for job in jobs]
    engine = Engine.load(rise_shapes.family())
    for spec, ending, result in zip(specs, endings, results, strict=True):
        assert isinstance(ending, messages.JobDone), ending
        assert ending.attempt == 1
        assert {"waited", "denoise"} <= set(ending.stages[0].timings)
        assert spec.seed is not None
        alone = engine.generate([spec.prompt], [spec.seed], configuration).images[0]
        with Image.open(io.BytesIO(result.images[0])) as picture:
            found = torch.tensor(list(picture.get_flattened_data()), dtype=torch.int).view(alone.shape)
        assert int((found - alone.int()).abs().max()) <= 1


async def test_a_worker_says_what_loading_takes_and_how_old_its_paces_are(bus: Bus, nats_server: Server) -> None:
    """One that has to load a member for a job tells of it with its next heartbeat, and the outcome of the job does."""
    await layout.ensure(bus)
    configuration = configuration_of("small:2", rise_shapes.family())
    stage = configuration.stages[0].model_copy(update={"tier": "edge", "pool": "edge"})
    with worker(nats_server, "edge", Path("rise-shapes")):
        before = (await beating(bus, 1))["edge-1"]
        assert before.members == ("large",)
        for told in (before.load_seconds, before.usual_seconds_per_step, before.pace_age_s, before.seconds_per_step):
            assert set(told) == {"large"}
        assert before.load_seconds["large"] > 0
        assert before.accelerator is None  # a CPU has nobody to ask
        async with platform(bus, configuration.model_copy(update={"stages": (stage,)})), asyncio.timeout(120):
            job = await client.submit(bus, RelayJobSpec(prompt="a small red circle", seed=3))
            done = await client.wait(bus, job.job_id)
        assert isinstance(done, messages.JobDone), done
        after = await small.heartbeat(bus, lambda beat: "small" in beat.seconds_per_step)
    assert set(after.members) == {"large", "small"}
    assert 0 < after.load_seconds["small"] <= done.stages[0].timings["load"]
    assert after.pace_age_s["small"] < after.pace_age_s["large"]


def elsewhere(configuration: Configuration) -> Configuration:
    """The same with its last stage on the device."""
    head, tail = configuration.stages
    tail = tail.model_copy(update={"tier": "device", "pool": "device"})
    return configuration.model_copy(update={"stages": (head, tail)})


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["--family", "nowhere.yaml"], "nowhere.yaml"),
        (["--family", "rise-shape"], "did you mean 'rise-shapes'?"),
        (["--tier", "cloud"], "--tier: wanted one of edge, device"),
        (["--device", "cuda:99x"], "--device"),
    ],
)
def test_a_worker_that_cannot_start_says_why_in_one_line(flags: list[str], wanted: str, tmp_path: Path) -> None:
    if flags[0] == "--device":
        family = tmp_path / "tiny.yaml"
        family.write_text(MANIFEST)
        flags = [*flags, "--family", str(family)]
    ended = subprocess.run(
        [sys.executable, "-m", "rise_stage", *flags], capture_output=True, text=True, timeout=READY_S, check=False
    )
    assert ended.returncode == 2
    assert wanted in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


MANIFEST = """
apiVersion: rise-relay.io/v1alpha1
kind: ModelFamily
metadata: {name: tiny}
spec:
  base: {path: .}
  members: [{name: large}]
"""
