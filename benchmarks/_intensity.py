"""The paper's finding: how far the latent's intensity departs, after a handoff, from that of the uncut run.

Intensity is the mean, the deviation and the norm of the predicted clean latent. The large member's run is cut at levels
of its own grid, another member goes on along the same grid, and both are compared at every level below the cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from benchmarks._front import Prompt
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.run import intensity

PROMPTS = 32


@dataclass(frozen=True)
class Departure:
    """Mean relative departure below a handoff of one sigma to one member: of the norm and deviation, and of the mean.

    ``mean`` is in units of the latent's deviation, for the mean itself is near zero.
    """

    member: str
    sigma: float
    norm: float
    std: float
    mean: float


@dataclass(frozen=True)
class _Trace:
    norm: list[list[float]]
    std: list[list[float]]
    mean: list[list[float]]


def departures(engine: Engine, prompts: Sequence[Prompt], steps: int, members: Sequence[str]) -> list[Departure]:
    """The departures for every cut of a run of ``steps`` steps of the large member that ``members`` can take over."""
    texts, seeds = [p.text for p in prompts[:PROMPTS]], [p.seed for p in prompts[:PROMPTS]]
    whole = configuration_of(f"large:{steps}", engine.manifest)
    sigmas = engine.grid(whole, 0).sigmas
    uncut = _trace(engine, texts, seeds, f"large:{steps}")
    found = []
    for member in members:
        top = engine.manifest.member(member)
        limit = top.sigma_max if top and top.sigma_max else float("inf")
        for cut in range(2, steps, max(1, steps // 12)):
            if sigmas[cut] <= limit:
                arm = f"large:{cut}@{sigmas[cut]!r}+{member}:{steps - cut}"
                found.append(_departure(member, sigmas[cut], cut, uncut, _trace(engine, texts, seeds, arm)))
    return found


def _trace(engine: Engine, texts: Sequence[str], seeds: Sequence[int], arm: str) -> _Trace:
    trace = _Trace([], [], [])
    configuration = configuration_of(arm, engine.manifest, shared_grid="+" in arm)

    def note(clean: torch.Tensor) -> None:
        values = intensity(clean)
        trace.norm.append(values.norm)
        trace.std.append(values.std)
        trace.mean.append(values.mean)

    engine.generate(texts, seeds, configuration, on_step=lambda stage, step: note(step.predicted.clean))
    return trace


def _departure(member: str, sigma: float, cut: int, uncut: _Trace, other: _Trace) -> Departure:
    def relative(name: str) -> float:
        pairs = _pairs(getattr(uncut, name)[cut:], getattr(other, name)[cut:])
        return fmean(abs(b - a) / abs(a) for a, b in pairs)

    means = _pairs(uncut.mean[cut:], other.mean[cut:])
    scale = fmean(value for row in uncut.std[cut:] for value in row)
    return Departure(member, sigma, relative("norm"), relative("std"), fmean(abs(b - a) for a, b in means) / scale)


def _pairs(ours: list[list[float]], theirs: list[list[float]]) -> list[tuple[float, float]]:
    return [pair for a, b in zip(ours, theirs, strict=True) for pair in zip(a, b, strict=True)]
