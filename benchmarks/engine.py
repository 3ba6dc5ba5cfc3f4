"""`rise bench engine`: seconds of one picture, our engine against the stock diffusers pipeline.

Same weights, prompt, seed, steps and guidance on both sides, which take turns; words are new each time, so nobody
answers from memory. Both pictures are compared, so that neither side may leave anything out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PixArtSigmaPipeline,
    StableDiffusionXLPipeline,
)
from torch import Tensor

import rise_shapes
from benchmarks import _random, _rows
from benchmarks._rows import Row, row
from rise_contracts.model import Solver
from rise_contracts.resources import ModelFamily
from rise_stage.engine import Engine
from rise_stage.quiet import quiet

Picture = Callable[[str, int], Tensor]
"""(prompt, seed) -> (H, W, 3) uint8."""
STOCK: dict[Solver, Any] = {"euler": EulerDiscreteScheduler, "dpmpp_2m": DPMSolverMultistepScheduler}
"""Stock schedulers of the solvers that the families here are served with."""
MOST_APART = 2
"""Of 255: what rounding may do to a pixel."""


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, write the rows."""
    parser = argparse.ArgumentParser(prog="rise bench engine", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench-engine.json"), help="where the rows go")
    parser.add_argument("--repeats", type=int, default=20, help="pictures of each side (default 20)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default 1, as a worker)")
    options = parser.parse_args(argv)
    quiet()
    torch.set_num_threads(options.threads)
    rows = [embedded(options.repeats), mid_size(max(3, options.repeats // 4))]
    _rows.report(rows, options.json)
    return 0


def embedded(repeats: int) -> Row:
    """The embedded family's large member at its default steps."""
    family = rise_shapes.family()
    member = family.spec.members[0]
    pipeline = _silent(PixArtSigmaPipeline.from_pretrained(rise_shapes.weights_dir()), family)
    longest = pipeline.tokenizer.model_max_length

    def theirs(prompt: str, seed: int) -> Tensor:
        return _stock(
            pipeline,
            prompt,
            seed,
            num_inference_steps=member.default_steps,
            guidance_scale=member.default_guidance,
            use_resolution_binning=False,
            clean_caption=False,
            max_sequence_length=longest,
        )

    return compare("image_seconds", _ours(family, member.default_steps), theirs, repeats)


def mid_size(repeats: int, steps: int = 4) -> Row:
    """A denoiser of SDXL's layout with random weights."""
    with TemporaryDirectory() as folder:
        family = _random.make(Path(folder) / "base", guidance=5.0)
        stock = StableDiffusionXLPipeline.from_pretrained(Path(folder) / "base", add_watermarker=False)
        pipeline = _silent(stock, family)

        def theirs(prompt: str, seed: int) -> Tensor:
            return _stock(
                pipeline,
                prompt,
                seed,
                num_inference_steps=steps,
                guidance_scale=family.spec.members[0].default_guidance,
            )

        return compare("image_seconds_sdxl_mid", _ours(family, steps), theirs, repeats)


def compare(name: str, ours: Picture, theirs: Picture, repeats: int) -> Row:
    """Both sides in turns, the first pair not counted. Raises RuntimeError where the pictures are not the same."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(repeats + 1):
        made = []
        for taken, picture in zip(seconds, (ours, theirs), strict=True):
            began = perf_counter()
            made.append(picture(f"a small red circle above a large blue square {number}", number))
            taken.append(perf_counter() - began)
        apart = int((made[0].int() - made[1].int()).abs().max())
        if apart > MOST_APART:
            raise RuntimeError(f"{name}: the pictures of both sides differ by {apart} of 255")
    our_s, their_s = (median(taken[1:]) for taken in seconds)
    return row(name, our_s, their_s, "s", repeats, "<= 1.00", met=our_s <= their_s)


def _ours(family: ModelFamily, steps: int) -> Picture:
    engine = Engine.load(family, ["large"])
    engine.warm("large")
    return lambda prompt, seed: engine.generate([prompt], [seed], f"large:{steps}").images[0]


def _stock(pipeline: Any, prompt: str, seed: int, **options: Any) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    image = pipeline(prompt, generator=generator, output_type="np", **options).images[0]
    return torch.from_numpy((image * 255).round()).to(torch.uint8)


def _silent(pipeline: Any, family: ModelFamily) -> Any:
    """The pipeline without its bar, and with the scheduler of the family's solver."""
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = STOCK[family.spec.solver].from_config(pipeline.scheduler.config)
    return pipeline
