"""A stage worker without a model, for the tests of the command: it starts in a second and draws what was asked.

It takes the flags of `rise_stage`, does as many steps as it is told, and its tail renders the scene of the prompt, so
that the judge has something to say. While a file `hold` lies in $RISE_TEST_FOLDER it waits before its second step;
a prompt with the word "broken" makes it fail, with "quoted" in the prompt's own words, with "deadly" it dies, a file
`unfit` there keeps it from starting.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from rise_contracts import codec, errors, manifest, messages, subjects
from rise_contracts.handoff import HandoffHeader
from rise_contracts.resources import ModelFamily
from rise_contracts.rights import Principal
from rise_runtime import layout
from rise_runtime.access import from_environment
from rise_runtime.buckets import Bucket
from rise_runtime.bus import connect
from rise_runtime.seam import Handoff, Identity, Picture, Pictures, StageContext, StageResult, WorkerStatus
from rise_runtime.signals import stop_on_signals
from rise_runtime.worker import run_worker
from rise_shapes import grammar, render, scene

FOLDER = Path(os.environ.get("RISE_TEST_FOLDER", "/nonexistent"))


def picture(prompt: str, seed: int) -> bytes:
    """A PNG of the prompt's scene, or of a red circle where it is none."""
    try:
        wanted = grammar.parse(prompt)
    except grammar.NotInGrammar:
        wanted = grammar.parse("a red circle")
    full = scene.Scene(
        tuple(scene.Thing(t.colour, t.shape, t.size or "large", t.fill) for t in wanted.things),
        wanted.relations,
        wanted.ground or scene.Ground(),
    )
    centres = scene.place(full, random.Random(seed))
    assert centres is not None
    stream = io.BytesIO()
    Image.fromarray(render.render(scene.Placed(full, centres))).save(stream, "PNG")
    return stream.getvalue()


def handle(task: messages.StageTask, payload: bytes, context: StageContext) -> StageResult:
    request, stage = task.request, task.configuration.stages[task.stage_index]
    if "broken" in request.spec.prompt:
        raise errors.StageFailed("this stage is broken", retriable=False)
    if "quoted" in request.spec.prompt:
        raise ValueError(f"a library that quotes its input: {request.spec.prompt!r}")
    if "deadly" in request.spec.prompt:
        os.kill(os.getpid(), signal.SIGKILL)
    for step in range(1, stage.steps + 1):
        time.sleep(0.002)  # what a step costs
        context.progress(step, stage.steps, max(stage.sigma_to, 0.1), 0.002)
        while (FOLDER / "hold").exists():
            (FOLDER / f"held-{context.worker.name}").touch()
            context.check()
            time.sleep(0.01)
    if stage.sigma_to > 0:
        preview = picture("a red circle", 1) if request.preview else b""
        return Handoff(header(task, stage.sigma_to, payload := b"x" * 2048), payload, stage.steps, preview=preview)
    drawn = [picture(request.spec.prompt, request.seed + index) for index in range(request.spec.images)]
    return Pictures(tuple(Picture(png, 64, 64) for png in drawn), stage.steps)


def header(task: messages.StageTask, sigma: float, payload: bytes) -> HandoffHeader:
    return HandoffHeader(
        job=task.job_id,
        attempt=task.attempt,
        stage=task.stage_index,
        family=task.request.spec.family,
        latent_contract="0" * 64,
        sigma=sigma,
        shape=(1, 4, 16, 16),
        dtype=task.configuration.wire_dtype,
        solver=task.configuration.solver,
        sha256=hashlib.sha256(payload).hexdigest(),
        nbytes=len(payload),
    )


async def main() -> None:
    parser = argparse.ArgumentParser()
    for flag in ("tier", "pool", "name", "family"):
        parser.add_argument(f"--{flag}")
    parser.add_argument("--threads")
    parser.add_argument("--private", action="store_true")
    parser.add_argument("--label", action="append", default=[])
    given = parser.parse_args()
    if (FOLDER / "unfit").exists():
        sys.exit(f"rise_stage: no such model in {given.family}")
    tempfile.mkdtemp(prefix="left-behind-as-libraries-do-")
    family = manifest.load_family(Path(given.family).read_text())
    stop = stop_on_signals()
    url, inbox = os.environ["RISE_NATS_URL"], Principal(given.tier, given.pool, given.name).inbox
    async with connect(url, from_environment(os.environ), inbox=inbox, patience=30.0) as bus:
        if given.tier == "edge":
            await layout.ensure(bus)
            await Bucket(bus, subjects.KV_FAMILIES).put(family.metadata.name, codec.encode(family))
        labels = dict(label.split("=") for label in given.label)
        identity = Identity(given.name, given.tier, given.pool, labels, private=given.private)
        await run_worker(bus, identity, handle, status=lambda: status(family), stop=stop)


def status(family: ModelFamily) -> WorkerStatus:
    names = tuple(member.name for member in family.spec.members)
    return WorkerStatus(names, dict.fromkeys(names, 0.002))


if __name__ == "__main__":
    asyncio.run(main())
