"""The jobs of the matrix: what they ask for, and what they are when nothing disturbs them."""

from __future__ import annotations

import secrets
import statistics
import time
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.chaos import references
from benchmarks.chaos.invariants import Wanted
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.world import World
from rise_contracts import errors
from rise_contracts.resources import RelayJobSpec
from rise_runtime import client

HEAD, TAIL = 12, 8
"""Steps of the two stages."""
STEP: Final = 6
"""A job that is struck in its head or tail has made so many of its steps."""
TTL_S: Final = 0.5
RUNS: Final = 3
PATIENCE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What a spec gives when it is left alone: the result's digest, seconds to the ending, seconds until it is gone."""

    digest: str
    seconds: float
    gone_s: float


def spec(key: str, *, seed: int = 7, ttl_s: float | None = None, **more: Any) -> RelayJobSpec:
    """A relay of two stages with all of its numbers fixed, under an idempotency key: so its id is known before."""
    return RelayJobSpec.model_validate(
        {
            "prompt": references.PROMPT,
            "seed": seed,
            "relay": references.relay(HEAD, TAIL),
            "idempotencyKey": key,
            "ttlSecondsAfterFinished": ttl_s,
            **more,
        }
    )


async def undisturbed(world: World, ledger: Ledger, *, ttl_s: float | None = None) -> tuple[Undisturbed, list[Wanted]]:
    """The middle of some runs, and those jobs. Raises StageFailed where they differ: nothing could be compared then."""
    seconds, gone, digests, wanted = [], [], set(), []
    for _ in range(RUNS + 1):
        key = f"undisturbed-{secrets.token_hex(4)}"
        asked = spec(key, ttl_s=ttl_s)
        began = time.monotonic()
        job = await client.submit(world.bus, asked)
        ended = await ledger.until(ledger.ended, job.job_id, PATIENCE_S)
        if ended is None:
            raise errors.Waited(f"the end of {job.job_id}, which nothing disturbed", PATIENCE_S)
        if ttl_s is None:
            digests.add((await client.fetch_result(world.bus, job.job_id)).done.digest)
        else:
            gone.append((await ledger.until(ledger.gone, job.job_id, PATIENCE_S) or ended) - began)
        seconds.append(ended - began)
        wanted.append(Wanted(job.job_id, gone=ttl_s is not None))
    if len(digests) > 1:
        raise errors.StageFailed(f"wanted one result of equal jobs, got {len(digests)}", reason="NotDeterministic")
    # The first one pays for what is loaded at first use.
    middle, gone_s = statistics.median(seconds[1:]), statistics.median(gone[1:]) if gone else 0.0
    return Undisturbed(next(iter(digests), ""), middle, gone_s), wanted
