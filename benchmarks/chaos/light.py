"""A stage worker without a model: ``python -m benchmarks.chaos.light --tier edge --name edge-1 …``.

The worker loop, the bus, progress, checkpoints and resuming are the real ones. A step hashes the state of the step
before, so a result that skipped a step, made one twice or came from another seed has another digest.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from typing import Final, get_args

from benchmarks._idle_stage import header_of, latent, serve, stepped
from rise_contracts import messages
from rise_contracts.handoff import HandoffHeader
from rise_contracts.model import Tier
from rise_runtime import telemetry
from rise_runtime.seam import Checkpoint, Handoff, Identity, Picture, Pictures, StageContext, StageResult
from rise_runtime.signals import leave
from rise_runtime.worker import WorkerSettings
from tests.pictures import WIDTH, picture

STEP_S: Final = 0.01
EVERY: Final = 2
"""Steps between two checkpoints."""
_ON_THE_WAY: Final = 0.5
"""The noise level that checkpoints of the last stage say; nobody computes with it."""
LARGE: Final = 600
"""States that a large handoff has: more than travels in one message."""


def handle(task: messages.StageTask, payload: bytes, context: StageContext) -> StageResult:
    """One stage, from its checkpoint where there is one."""
    stage = task.configuration.stages[task.stage_index]
    first = latent(task.request.seed) * (LARGE if task.request.spec.images > 1 else 1)
    state, done = payload or first, 0
    if context.resume is not None:
        state, done = context.resume.payload, context.resume.step
        context.resumed_at = done
    for step in range(done, stage.steps):
        state = stepped(state, step)
        time.sleep(STEP_S)
        if (step + 1) % EVERY == 0 and step + 1 < stage.steps:
            context.keep(Checkpoint(_header(task, state), state, step + 1, STEP_S * (step + 1)))
        context.progress(step + 1, stage.steps, stage.sigma_to, STEP_S)
    if task.stage_index < len(task.configuration.stages) - 1:
        return Handoff(_header(task, state), state, stage.steps)
    # Each its own, and all of them of this state: a digest that is right says that all steps were made.
    states = [stepped(state, number) for number in range(task.request.spec.images)]
    return Pictures(tuple(Picture(picture(each), WIDTH, -(-len(each) // WIDTH)) for each in states), stage.steps)


def _header(task: messages.StageTask, state: bytes) -> HandoffHeader:
    return header_of(task, state, task.configuration.stages[task.stage_index].sigma_to or _ON_THE_WAY)


def main() -> None:
    """Work until told to stop."""
    parser = argparse.ArgumentParser(prog="light")
    parser.add_argument("--tier", required=True, choices=get_args(Tier))
    parser.add_argument("--name", required=True)
    parser.add_argument("--family", default="rise-shapes")
    parser.add_argument("--ack-wait-s", type=float, default=1.0)
    given = parser.parse_args()
    telemetry.configure_logging()
    identity = Identity(given.name, given.tier, given.tier)
    settings = WorkerSettings(ack_wait_s=given.ack_wait_s)
    asyncio.run(serve(os.environ["RISE_NATS_URL"], identity, handle, given.family, settings))


if __name__ == "__main__":
    main()
    leave(0)
