"""The honest front: the quality of every way to make a picture, against its latency and its edge seconds.

Quality is the judge's verdict on held-out prompts, made in batches; seconds are those of single pictures, one thread,
put together from medians of the parts (words, a step of each member, decoding) measured in the same run.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from time import perf_counter
from typing import Final

import torch

from rise_contracts.configuration import ArmStage, Configuration, parse_arm
from rise_shapes.grammar import caption
from rise_shapes.judge import judge
from rise_shapes.scene import Scene, draw_scene
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.engine import handed_over, over_the_wire
from rise_stage.engine.latents import Latent
from rise_stage.engine.run import Step

WIRE: Final = "fp16"
BATCH = 50
PROMPT_SEED = 90_210


@dataclass(frozen=True)
class Prompt:
    """A held-out prompt with the scene it asks for and the seed of its noise."""

    text: str
    scene: Scene
    seed: int


@dataclass(frozen=True)
class Point:
    """One way to make a picture. ``kind``: large, small, finisher, relay, training-free or small-first."""

    arm: str
    kind: str
    accuracy: float
    cleanness: float
    parts: dict[str, float]
    latency_s: float
    edge_s: float
    n: int


@dataclass(frozen=True)
class Costs:
    """Seconds of the parts of one picture: a step by member, the words, decoding, a handoff between processes."""

    step: dict[str, float]
    encode: float
    decode: float
    handoff: float

    def latency(self, arm: Sequence[ArmStage]) -> float:
        """Seconds from the words to the picture."""
        denoise = sum(stage.steps * self.step[stage.member] for stage in arm)
        return self.encode + denoise + self.decode + self.handoff * (len(arm) - 1)

    def edge(self, arm: Sequence[ArmStage]) -> float:
        """Seconds of the edge: the large member's steps with the words, and decoding where it makes the picture."""
        if all(stage.member != "large" for stage in arm):
            return 0.0
        steps = sum(stage.steps * self.step["large"] for stage in arm if stage.member == "large")
        return self.encode + steps + (self.decode if arm[-1].member == "large" else 0.0)


def held_out(count: int) -> list[Prompt]:
    """Prompts with combinations that no training scene has; always the same ones."""
    rng = random.Random(PROMPT_SEED)
    scenes = [draw_scene(rng, held_out=True).scene for _ in range(count)]
    return [Prompt(caption(scene), scene, 1_000 + index) for index, scene in enumerate(scenes)]


class Studio:
    """Makes pictures of all prompts by any arm. Heads are kept, so that the tails of one head share its work."""

    def __init__(self, engine: Engine, prompts: Sequence[Prompt]) -> None:
        self.engine, self.prompts = engine, prompts
        self.batches = [prompts[start : start + BATCH] for start in range(0, len(prompts), BATCH)]
        self._heads: dict[tuple[ArmStage, int], Latent] = {}

    def pictures(self, arm: str) -> Iterator[tuple[Prompt, torch.Tensor]]:
        """Every prompt with its picture, (64, 64, 3) uint8."""
        configuration = configuration_of(arm, self.engine.manifest, wire_dtype=WIRE)
        stages = parse_arm(arm)
        for number, batch in enumerate(self.batches):
            start: torch.Tensor | Latent = self.engine.noise([prompt.seed for prompt in batch])
            for stage in configuration.stages:
                key = (stages[stage.index], number)
                if stage.index == 0 and key in self._heads:
                    start = self._heads[key]
                    continue
                last = self._run(configuration, stage.index, batch, start)
                start = last.x
                if stage.index + 1 < len(stages):
                    start = over_the_wire(handed_over(last.latent, configuration, stage.index), WIRE)
                    self._heads[key] = start
            assert isinstance(start, torch.Tensor)
            yield from zip(batch, self.engine.decode(start), strict=True)

    def _run(
        self, configuration: Configuration, index: int, batch: Sequence[Prompt], start: torch.Tensor | Latent
    ) -> Step:
        stage = configuration.stages[index]
        conditioning = self.engine.encode([prompt.text for prompt in batch], stage.guidance)
        grid = self.engine.grid(configuration, index, start.sigma if isinstance(start, Latent) else None)
        *_, last = self.engine.run(stage.member, conditioning, start, grid, configuration.solver)
        return last

    def forget(self) -> None:
        """Drop the heads that were kept."""
        self._heads.clear()


def measure(studio: Studio, arm: str, kind: str, costs: Costs) -> Point:
    """Judge the pictures that an arm makes of all prompts."""
    verdicts = [judge(image.numpy(), prompt.scene) for prompt, image in studio.pictures(arm)]
    parts = {part: fmean(verdict.parts[part] for verdict in verdicts) for part in verdicts[0].parts}
    stages = parse_arm(arm)
    return Point(
        arm,
        kind,
        fmean(verdict.ok for verdict in verdicts),
        fmean(verdict.cleanness for verdict in verdicts),
        parts,
        costs.latency(stages),
        costs.edge(stages),
        len(verdicts),
    )


def measure_costs(engine: Engine, members: Sequence[str], handoff: float, repeats: int = 15) -> Costs:
    """Medians over single pictures, warm: words not seen before, a step of each member, decoding."""
    step = {}
    decode, encode = [], []
    for member in members:
        engine.warm(member)
        top = engine.manifest.member(member)
        arm = f"large:1@{top.sigma_max}+{member}:4" if top and top.sigma_max else f"{member}:4"
        made = [
            engine.generate([f"a small red circle {n}"], [n], configuration_of(arm, engine.manifest))
            for n in range(repeats)
        ]
        step[member] = median(item.stage_seconds[-1] for item in made) / 4
        decode += [item.decode_seconds for item in made]
    for number in range(repeats):
        began = perf_counter()
        engine.encode([f"a large blue square {number}"])
        encode.append(perf_counter() - began)
    return Costs(step, median(encode), median(decode), handoff)
