"""What each process of a world is started as: a module and its arguments."""

from __future__ import annotations

from typing import Literal

import rise_shapes
from rise_contracts.model import Tier

Module = tuple[str, ...]
Stage = Literal["real", "light"]


def scheduler() -> Module:
    """The scheduler, with what is known of the embedded family."""
    prior = f"{rise_shapes.family().metadata.name}={rise_shapes.prior_file()}"
    return ("rise_scheduler", "--prior", prior, "--patience", "30")


def worker(stage: Stage, name: str, tier: Tier, ack_wait_s: float, *more: str) -> Module:
    """A worker with the embedded family's model and `more` arguments, or a light one, which has an ack wait."""
    if stage == "light":
        return ("benchmarks.chaos.light", "--tier", tier, "--name", name, "--ack-wait-s", f"{ack_wait_s:g}")
    # One slot: a job in company is not bit for bit what it is alone.
    own = ("--slots", "1", "--patience", "30", *more)
    return ("rise_stage", "--tier", tier, "--pool", tier, "--name", name, *own)
