"""One picture from a platform that is up, judged by program: what ``helm test`` runs, from inside the cluster.

It goes through everything at once: the bus with its locks, the job driver, the scheduler, a worker of each tier, the
result store. ``python -m rise_stage.smoke`` ends with 0 and one line of JSON, or with the reason why not.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import sys
from collections.abc import Sequence

import numpy as np
from PIL import Image

from rise_contracts.errors import InvalidInput, RiseError, Waited
from rise_contracts.parts import RelaySpec, StageSpec
from rise_contracts.records import JobRecord
from rise_contracts.resources import RelayJobSpec
from rise_contracts.rights import Principal
from rise_runtime import access, client, telemetry
from rise_runtime.access import Access
from rise_runtime.bus import Bus, connect
from rise_runtime.client import Result
from rise_runtime.signals import leave
from rise_shapes.grammar import NotInGrammar, parse
from rise_shapes.judge import judge
from rise_shapes.scene import Scene


class WrongPicture(RiseError):
    """It does not show what its prompt says."""

    def __init__(self, job_id: str, prompt: str, reasons: Sequence[str]) -> None:
        self.job_id, self.prompt, self.reasons = job_id, prompt, tuple(reasons)
        super().__init__(f"job {job_id}: wanted a picture of {prompt!r}, got one in which {'; '.join(reasons)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the picture; the exit code, 1 for a picture that is wrong."""
    try:
        telemetry.configure_logging()
        given = _parser().parse_args(arguments)
        url = os.environ.get("RISE_NATS_URL", "nats://127.0.0.1:4222")
        known_by = access.from_environment(os.environ)
        told = asyncio.run(run(url, known_by, given.prompt, given.seed, given.timeout))
    except RiseError as error:
        sys.stderr.write(f"rise_stage.smoke: {error}\n")
        return error.exit_code
    sys.stdout.write(f"{told}\n")
    return 0


RELAY = RelaySpec(
    mode="Fixed",
    stages=(StageSpec(member="large", steps=8, until_sigma=0.9), StageSpec(member="finisher", steps=6)),
)
"""Both tiers take part, whatever the scheduler would choose, and the picture is the same every time."""


async def run(url: str, known_by: Access | str, prompt: str, seed: int, timeout: float) -> str:
    """Submit, wait, fetch and judge; what happened, as JSON.

    Raises InvalidInput where no program can judge the prompt, Waited (with why) where there is no picture after
    `timeout` seconds, JobEndedBadly where the job failed, WrongPicture.
    """
    scene = _scene(prompt)
    inbox, patience = Principal("user").inbox, min(timeout, 60.0)
    async with connect(url, known_by, name="rise-smoke", inbox=inbox, patience=patience) as bus:
        record = await client.submit(bus, RelayJobSpec(prompt=prompt, seed=seed, relay=RELAY), name="smoke")
        try:
            async with asyncio.timeout(timeout):
                await client.wait(bus, record.job_id)
        except TimeoutError:
            raise await _too_late(bus, record.job_id, timeout) from None
        result = await client.fetch_result(bus, record.job_id)
        told = verdict(record, result, scene)
        await client.remove(bus, record.job_id)
        return told


def verdict(record: JobRecord, result: Result, scene: Scene) -> str:
    """What was made, as JSON. Raises WrongPicture."""
    spec = record.request.spec
    for png in result.images:
        with Image.open(io.BytesIO(png)) as opened:
            found = judge(np.asarray(opened.convert("RGB")), scene)
        if not found.ok:
            raise WrongPicture(record.job_id, spec.prompt, found.reasons)
    done = result.done
    stages = [{"member": stage.member, "worker": stage.worker} for stage in done.stages]
    return json.dumps({"job": record.job_id, "prompt": spec.prompt, "arm": done.arm, "stages": stages, "ok": True})


async def _too_late(bus: Bus, job_id: str, seconds: float) -> Waited:
    """Why there is no picture, in the job's own words; nobody waits for it any more, so it is cancelled."""
    record = await client.get_job(bus, job_id)
    await client.cancel(bus, job_id)
    why = record.waiting_message or record.waiting_reason or record.state
    workers = ", ".join(f"{beat.worker} ({beat.tier})" for beat in await client.list_workers(bus)) or "none"
    return Waited(f"the picture of {job_id}", seconds, f"the job was {record.state}: {why}; workers: {workers}")


def _scene(prompt: str) -> Scene:
    try:
        return parse(prompt)
    except NotInGrammar as error:
        raise InvalidInput("--prompt", "a prompt that can be judged", prompt, str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rise_stage.smoke", description="Draws one picture and judges it.")
    parser.add_argument("--prompt", default="a large red circle", help="in the words of the embedded family")
    parser.add_argument("--seed", type=int, default=7, help="so that every run makes the same picture (7)")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds to wait for it (300)")
    return parser


if __name__ == "__main__":
    leave(main())
