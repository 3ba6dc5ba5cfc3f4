"""A stage worker that skips the arithmetic: ``python -m benchmarks._idle_stage --tier edge …``.

All but the denoising is real: the worker loop, the bus, progress after every step, a handoff or a picture of about the
size that the embedded family's have. What it gives is a function of seed and steps, so that whoever waits for a job
knows the digest which its result must have.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
from typing import Final, get_args

from rise_contracts import messages
from rise_contracts.handoff import HandoffHeader
from rise_contracts.model import Tier
from rise_runtime import layout
from rise_runtime.bus import connect
from rise_runtime.seam import (
    Handoff,
    Identity,
    Picture,
    Pictures,
    StageContext,
    StageHandler,
    StageResult,
    WorkerStatus,
)
from rise_runtime.signals import leave, stop_on_signals
from rise_runtime.worker import WorkerSettings, run_worker
from tests.pictures import WIDTH, picture

NBYTES: Final = 2048
"""Of a handoff, and of a picture's pixels."""
SHAPE: Final = (1, 4, 8, 8)
MEMBERS: Final[dict[Tier, tuple[str, ...]]] = {"edge": ("large",), "device": ("small", "finisher")}
STEP_S: Final = 0.001
"""What the heartbeat says of a step."""


def latent(seed: int) -> bytes:
    """What a job begins with."""
    return hashlib.sha256(str(seed).encode()).digest() * (NBYTES // 32)


def stepped(state: bytes, step: int) -> bytes:
    """The state after one more step."""
    return hashlib.sha256(bytes([step]) + state).digest() + state[32:]


def denoised(state: bytes, steps: int) -> bytes:
    """The state after so many steps: each depends on the one before."""
    for step in range(steps):
        state = stepped(state, step)
    return state


def digest_of(seed: int, steps: tuple[int, ...]) -> str:
    """The digest of the picture that stages of so many steps must make."""
    state = latent(seed)
    for count in steps:
        state = denoised(state, count)
    return hashlib.sha256(picture(state)).hexdigest()


def handle(task: messages.StageTask, payload: bytes, context: StageContext) -> StageResult:
    """One stage."""
    stage = task.configuration.stages[task.stage_index]
    for step in range(stage.steps):
        context.progress(step + 1, stage.steps, stage.sigma_to, STEP_S)
    state = denoised(payload or latent(task.request.seed), stage.steps)
    if task.stage_index == len(task.configuration.stages) - 1:
        return Pictures((Picture(picture(state), WIDTH, NBYTES // WIDTH),), stage.steps)
    return Handoff(header_of(task, state, stage.sigma_to), state, stage.steps)


def header_of(task: messages.StageTask, state: bytes, sigma: float) -> HandoffHeader:
    """What a handoff or checkpoint of this state says of itself."""
    return HandoffHeader(
        job=task.job_id,
        attempt=task.attempt,
        stage=task.stage_index,
        family=task.request.spec.family,
        latent_contract="0" * 64,
        sigma=sigma,
        shape=SHAPE,
        dtype=task.configuration.wire_dtype,
        solver=task.configuration.solver,
        sha256=hashlib.sha256(state).hexdigest(),
        nbytes=len(state),
    )


def status(tier: Tier, family: str) -> WorkerStatus:
    """Everything of the tier is loaded."""
    members = MEMBERS[tier]
    speeds = {f"{family}/{member}": STEP_S for member in members}
    return WorkerStatus(members=members, families=(family,), seconds_per_step=speeds)


async def serve(url: str, identity: Identity, handler: StageHandler, family: str, settings: WorkerSettings) -> None:
    """Work until SIGTERM."""
    stop, token = stop_on_signals(), os.environ.get("RISE_NATS_TOKEN")
    async with connect(url, token, name=f"rise-stage-{identity.name}", patience=30.0) as bus:
        await layout.ensure(bus)
        loaded = status(identity.tier, family)
        await run_worker(bus, identity, handler, status=lambda: loaded, stop=stop, settings=settings)


def main() -> None:
    """Work until told to stop."""
    parser = argparse.ArgumentParser(prog="_idle_stage")
    parser.add_argument("--nats-url", required=True)
    parser.add_argument("--tier", required=True, choices=get_args(Tier))
    parser.add_argument("--family", required=True)
    parser.add_argument("--slots", type=int, default=1)
    given = parser.parse_args()
    identity = Identity(f"{given.tier}-1", given.tier, given.tier)
    asyncio.run(serve(given.nats_url, identity, handle, given.family, WorkerSettings(slots=given.slots)))


if __name__ == "__main__":
    main()
    leave(0)
