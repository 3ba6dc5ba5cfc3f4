"""`rise bench wire`: what each dtype on the wire costs, in bytes and in error of what comes of the latent.

On the embedded family: the relay that keeps all quality, its pictures against those of fp32, and the judge's verdicts.
On the other families: tiny random weights of the true architecture, the final latent against that of fp32.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import get_args

import torch
from torch import Tensor

import rise_shapes
from benchmarks import _front, _rows
from benchmarks._rows import Row, row
from benchmarks.relay import relay_arm
from rise_contracts.model import WireDtype
from rise_shapes.judge import judge
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.engine import handed_over
from rise_stage.engine.latents import Origin, encode_handoff
from rise_stage.quiet import quiet
from tests.model.tiny import KINDS, tiny_family

DTYPES: tuple[WireDtype, ...] = get_args(WireDtype)
PROMPT, SEEDS = "a red dot", tuple(range(8))


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, write the rows."""
    parser = argparse.ArgumentParser(prog="rise bench wire", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench-wire.json"), help="where the rows go")
    parser.add_argument("--prompts", type=int, default=200, help="held-out prompts (default 200)")
    options = parser.parse_args(argv)
    quiet()
    rows = [*embedded(options.prompts), *others()]
    _rows.report(rows, options.json)
    return 0


def embedded(count: int) -> Iterator[Row]:
    """Bytes, error of the picture (root mean square, in steps of 255) and accuracy, by dtype."""
    family = rise_shapes.family()
    engine = Engine.load(family, [member.name for member in family.spec.members])
    prompts = _front.held_out(count)
    arm = relay_arm(family, "quality")
    made = {dtype: list(_pictures(engine, arm, dtype, prompts)) for dtype in DTYPES}
    right = {
        dtype: fmean(judge(picture.numpy(), prompt.scene).ok for prompt, picture in zip(prompts, pictures, strict=True))
        for dtype, pictures in made.items()
    }
    for dtype in DTYPES:
        apart = fmean(_rms(ours, exact) for ours, exact in zip(made[dtype], made["fp32"], strict=True))
        nbytes = handoff_bytes(engine, arm, dtype)
        yield row(f"wire_bytes_{dtype}", nbytes, handoff_bytes(engine, arm, "fp32"), "bytes", 1, "–")
        yield row(f"wire_error_{dtype}", apart, None, "of 255, rms", count, "stated")
        yield row(f"wire_accuracy_{dtype}", right[dtype], right["fp32"], "share right", count, "–", difference=True)


def others() -> Iterator[Row]:
    """Error of the final latent, relative to its own root mean square, by architecture and dtype."""
    for architecture in KINDS:
        with TemporaryDirectory() as folder:
            engine = Engine.load(tiny_family(Path(folder) / "base", architecture), ["large", "small"])
            final = {dtype: _final(engine, dtype) for dtype in DTYPES}
        for dtype in DTYPES[1:]:
            error = _rms(final[dtype], final["fp32"]) / float(final["fp32"].pow(2).mean().sqrt())
            yield row(f"wire_latent_error_{architecture}_{dtype}", error, None, "relative rms", len(SEEDS), "stated")


def handoff_bytes(engine: Engine, arm: str, dtype: WireDtype) -> int:
    """Bytes of the payload of one picture's handoff."""
    configuration = configuration_of(arm, engine.manifest, wire_dtype=dtype)
    head = configuration.stages[0]
    grid = engine.grid(configuration, 0)
    *_, last = engine.run(head.member, engine.encode([PROMPT], head.guidance), engine.noise([0]), grid)
    latent = handed_over(last.latent, configuration, 0)
    origin = Origin("bench", 1, 0)
    return len(encode_handoff(latent, origin, engine.name, engine.latent_contract, dtype, configuration.solver)[1])


def _pictures(engine: Engine, arm: str, dtype: WireDtype, prompts: Sequence[_front.Prompt]) -> Iterator[Tensor]:
    configuration = configuration_of(arm, engine.manifest, wire_dtype=dtype)
    for start in range(0, len(prompts), _front.BATCH):
        batch = prompts[start : start + _front.BATCH]
        yield from engine.generate([p.text for p in batch], [p.seed for p in batch], configuration).images


def _final(engine: Engine, dtype: WireDtype) -> Tensor:
    configuration = configuration_of("large:4@1.2+small:4", engine.manifest, wire_dtype=dtype)
    return engine.generate([PROMPT] * len(SEEDS), SEEDS, configuration).latents


def _rms(ours: Tensor, exact: Tensor) -> float:
    return float((ours.to(torch.float64) - exact.to(torch.float64)).pow(2).mean().sqrt())
