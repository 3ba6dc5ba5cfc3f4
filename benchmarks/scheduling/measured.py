"""The second world: qualities and latencies resampled from measured runs of the embedded family, with no model form.

A job's prompt is one that was drawn; what a player is told of its picture is what the judge said of one real picture of
that prompt by that arm. The expected quality, which regret is counted in, is the mean over the pictures of the prompts
about as complex. Times are those of real workers, the factor of each job's stages a measured one over its median.
Links, loads and shifts are the synthetic world's.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.random import Generator

import rise_shapes
from benchmarks import _measured
from benchmarks._measured import Measured
from benchmarks.scheduling import truth, workload, world
from benchmarks.scheduling.shifts import Options
from benchmarks.scheduling.world import Prior, Profile, World
from rise_contracts.configuration import parse_arm
from rise_contracts.resources import ModelFamily, NamedRelay, StageSpec
from rise_scheduler.arm import Arm, base_member
from rise_scheduler.arms import canonical_arms
from rise_scheduler.prompt import PromptFeatures, prompt_features

LATENCY_FILE: Final = Path(__file__).parent.parent / "data" / "shapes-latency.json"
CELLS = 5
"""Groups of prompts by complexity, as large as each other: the grammar has about so many levels of detail."""
KEPT_BACK = 4
"""One in so many prompts is for the prior, and never asked for in a run."""
JOBS_PER_REFERENCE = 1.2


@dataclass(frozen=True, eq=False)
class Table:
    """Judged pictures: ``quality`` (prompts, seeds, arms); ``arms`` are names; ``cell`` (prompts,) is each one's
    group."""

    prompts: tuple[str, ...]
    features: tuple[PromptFeatures, ...]
    arms: tuple[str, ...]
    quality: np.ndarray
    cell: np.ndarray

    def means(self, rows: np.ndarray) -> np.ndarray:
        """The expected quality of each prompt's group (prompts, arms), over the prompts that ``rows`` lists."""
        found = np.empty((len(self.prompts), len(self.arms)))
        for group in range(CELLS):
            inside = rows[self.cell[rows] == group]
            found[self.cell == group] = self.quality[inside].mean(axis=(0, 1))
        return found


def table_of(rows: list[Measured]) -> Table:
    """Raises ValueError where an arm lacks a picture that another has."""
    arms = tuple(dict.fromkeys(row.arm for row in rows))
    texts = {row.prompt_index: row.prompt for row in rows}
    found: dict[tuple[int, str], list[float]] = defaultdict(list)
    for row in sorted(rows):
        found[row.prompt_index, row.arm].append(row.quality)
    counts = {len(values) for values in found.values()}
    if len(found) != len(texts) * len(arms) or len(counts) != 1:
        raise ValueError(
            f"wanted as many pictures of every prompt by every arm, got {sorted(counts)}: measure the rest"
        )
    indices = sorted(texts)
    quality = np.array([[found[index, arm] for arm in arms] for index in indices]).transpose(0, 2, 1)
    features = tuple(prompt_features(texts[index]) for index in indices)
    order = np.argsort([item.complexity for item in features], kind="stable")
    cell = np.empty(len(indices), dtype=int)
    cell[order] = np.arange(len(indices)) * CELLS // len(indices)
    return Table(tuple(texts[index] for index in indices), features, arms, quality, cell)


def family_with(arms: tuple[str, ...]) -> ModelFamily:
    """The embedded family with all these arms as its own. Raises ValueError where it has one that was not measured."""
    family = rise_shapes.family()
    relays = tuple(
        NamedRelay(
            name=f"measured-{index}",
            stages=tuple(StageSpec(member=s.member, steps=s.steps, until_sigma=s.until_sigma) for s in parse_arm(arm)),
        )
        for index, arm in enumerate(arms)
    )
    family = family.model_copy(update={"spec": family.spec.model_copy(update={"relays": relays})})
    unknown = {arm.name for arm in canonical_arms(family)} - set(arms)
    if unknown:
        raise ValueError(f"wanted every arm of the family measured, got none of {', '.join(sorted(unknown))}")
    return family


def profile_of(family: ModelFamily, arms: tuple[Arm, ...], file: Path = LATENCY_FILE) -> Profile:
    """What the measured parts of a job say. Raises KeyError for a part that is missing."""
    parts = json.loads(file.read_text())["parts"]

    def middle(*names: str) -> float:
        return float(sum(parts[name]["p50"] for name in names if name in parts))

    members = [member.name for member in family.spec.members]
    ratios = [np.array(parts[f"step.{name}"]["samples"]) / parts[f"step.{name}"]["p50"] for name in members]
    latent = family.spec.latent
    channels, downscale = (latent.channels, latent.downscale) if latent else (4, 8)
    side = -(-family.spec.default_size // downscale)
    return Profile(
        family=family,
        arms=arms,
        step_s={name: float(parts[f"step.{name}"]["p50"]) for name in members},
        begin_s={tier: middle(f"receive.{tier}", f"encode.{tier}", f"rest.{tier}") for tier in ("edge", "device")},
        end_s={tier: middle(f"decode.{tier}", f"png.{tier}") for tier in ("edge", "device")},
        hand_s=middle("pack.edge", "handoff"),
        spread=np.concatenate(ratios),
        latent_bytes=2 * channels * side * side,
        gone="small",
    )


@lru_cache(maxsize=1)
def ground() -> tuple[Table, Profile]:
    """The measured tables. Raises FileNotFoundError where they are not there."""
    table = table_of(_measured.load())
    family = family_with(table.arms)
    arms = canonical_arms(family)
    order = [table.arms.index(arm.name) for arm in arms]
    sorted_table = Table(
        table.prompts, table.features, tuple(arm.name for arm in arms), table.quality[:, :, order], table.cell
    )
    return sorted_table, profile_of(family, arms)


def make(seed: int, options: Options) -> World:
    """The same seed and options, the same world."""
    rng = np.random.default_rng([seed, 2])
    table, profile = ground()
    back = np.arange(len(table.prompts)) % KEPT_BACK == 0
    asked_of, kept = np.flatnonzero(~back), np.flatnonzero(back)
    rows = rng.choice(asked_of, options.jobs)
    jobs = workload.jobs(
        rng,
        options.jobs,
        rate=JOBS_PER_REFERENCE / profile.reference_s,
        cv=1.0,
        texts=[table.prompts[row] for row in rows],
        change_at=options.shifts.network[0],
    )
    lost = _lost(profile, options, jobs.count)
    picture = rng.integers(table.quality.shape[1], size=jobs.count)
    scored = table.quality[rows, picture] * (rng.random(lost.shape) >= lost)
    quality = table.means(asked_of)[rows] * (1.0 - lost)
    return world.build("measured", profile, jobs, quality, scored, _prior(table, kept, options, rng), options, rng)


def _lost(profile: Profile, options: Options, count: int) -> np.ndarray:
    """The share of pictures that the base member silently spoils, (jobs, arms): as much as it has of the noise
    range."""
    base = base_member(profile.family).name
    shares = []
    for arm in profile.arms:
        ends = [0.0, *(truth.noise_share(part.until_sigma) for part in arm.parts)]
        shares.append(sum(ends[i + 1] - ends[i] for i, part in enumerate(arm.parts) if part.member == base))
    within = options.shifts.within(options.shifts.quality_drop, count)
    lost: np.ndarray = options.shifts.drop * within[:, None] * np.array(shares)[None, :]
    return lost


def _prior(table: Table, kept: np.ndarray, options: Options, rng: Generator) -> Prior:
    """Pictures of prompts that were kept back, all seeds: as many prompts as the options say, times three, for a
    judge's yes or no tells less than a score."""
    rows = rng.permutation(kept)[: 3 * options.prior_prompts]
    return Prior(tuple(table.features[row] for row in rows), table.quality[rows].mean(axis=1))
