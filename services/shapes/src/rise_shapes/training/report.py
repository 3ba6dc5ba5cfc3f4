"""The training report: loss curves, loss by noise level, and sheets of held-out prompts, as PNG files.

python -m rise_shapes.training.report --run out/training --to docs/family
"""

from __future__ import annotations

import argparse
import json
import random
import textwrap
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import AutoencoderKL, PixArtSigmaPipeline, PixArtTransformer2DModel
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch.nn import functional as F

from rise_shapes import family, weights_dir
from rise_shapes.grammar import caption
from rise_shapes.judge import judge
from rise_shapes.scene import Placed, draw_scene
from rise_shapes.training.data import encode_scenes
from rise_shapes.training.denoisers import Noise, velocity
from rise_shapes.training.finishing import nearest
from rise_shapes.training.recipe import ORDER
from rise_shapes.training.text import MAX_TOKENS, read

LEVELS: Final = (0.05, 0.1, 0.2, 0.35, 0.6, 0.9, 1.3, 1.8, 2.5, 4.0, 7.0, 12.0)

SHEET: Final = (6, 4)
"""Columns and rows of a sample sheet."""
SMOOTH: Final = 15


def curves(run: Path, file: Path) -> dict[str, float]:
    """Draw the loss of every part that was trained here over its steps; returns the hours that each took."""
    parts = [part for part in ORDER if (run / part / "log.jsonl").exists()]
    figure = Figure(figsize=(4.4 * len(parts), 3.4))
    hours = {}
    for axes, part in zip(figure.subplots(1, len(parts), squeeze=False).flat, parts, strict=True):
        rows = [json.loads(line) for line in (run / part / "log.jsonl").read_text().splitlines()]
        hours[part] = _hours(rows)
        for name in [key for key in rows[0] if key not in ("step", "seconds")]:
            steps, values = [row["step"] for row in rows], [row[name] for row in rows]
            smooth = [
                sum(values[max(0, i - SMOOTH) : i + 1]) / len(values[max(0, i - SMOOTH) : i + 1])
                for i in range(len(values))
            ]
            axes.plot(steps, smooth, linewidth=1.2, label=name)
        axes.set_title(f"{part} ({hours[part]:.2f} h)")
        axes.set_yscale("log")
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(file, dpi=100)
    return hours


def _hours(rows: list[dict[str, float]]) -> float:
    """Hours of training, with those before a resume: the clock of a log starts anew at each."""
    total = 0.0
    for before, after in zip(rows, [*rows[1:], {"seconds": 0.0}], strict=True):
        if after["seconds"] < before["seconds"]:
            total += before["seconds"]
    return total / 3600


@torch.inference_mode()
def loss_by_level(pipeline: PixArtSigmaPipeline, members: dict[str, PixArtTransformer2DModel], file: Path) -> None:
    """Draw each member's velocity loss on held-out scenes over the noise level: where the curves meet, hand over."""
    rng = random.Random(77)
    placed = [draw_scene(rng, held_out=True) for _ in range(192)]
    latents = encode_scenes(pipeline.vae, placed).float()
    hidden, mask = _context(pipeline, [caption(item.scene) for item in placed])
    noise, generator = Noise(), torch.Generator().manual_seed(0)
    axes = (figure := Figure(figsize=(7.5, 4.5))).subplots()
    for name, network in members.items():
        losses = []
        for level in LEVELS:
            times = torch.full((len(placed),), nearest(noise, level))
            x, wanted = noise.mix(latents, torch.randn(latents.shape, generator=generator), times)
            losses.append(F.mse_loss(velocity(network, x, times, hidden, mask), wanted).item())
        axes.plot(LEVELS, losses, marker="o", markersize=3, label=name)
        print(name, " ".join(f"{level:g}:{loss:.3f}" for level, loss in zip(LEVELS, losses, strict=True)))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("sigma")
    axes.set_ylabel("velocity loss, held-out scenes")
    axes.grid(alpha=0.25)
    axes.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=100)


def _context(pipeline: PixArtSigmaPipeline, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    return read(pipeline.text_encoder, pipeline.tokenizer(texts, padding="max_length", return_tensors="pt").input_ids)


def sheet(pipeline: PixArtSigmaPipeline, steps: int, guidance: float, file: Path) -> float:
    """Draw held-out prompts with the pipeline's denoiser and the judge's verdict; returns the share that is right."""
    rng = random.Random(78)
    placed = [draw_scene(rng, held_out=True) for _ in range(SHEET[0] * SHEET[1])]
    images = pipeline(
        [caption(item.scene) for item in placed],
        num_inference_steps=steps,
        guidance_scale=guidance,
        use_resolution_binning=False,
        clean_caption=False,
        max_sequence_length=MAX_TOKENS,
        generator=[torch.Generator().manual_seed(seed) for seed in range(len(placed))],
        output_type="pil",
    ).images
    return _draw_sheet(placed, images, file)


def _draw_sheet(placed: list[Placed], images: list[Image.Image], file: Path) -> float:
    side, text = 192, 60
    canvas = Image.new("RGB", (SHEET[0] * (side + 12) + 12, SHEET[1] * (side + text) + 12), "white")
    pen, font, right = ImageDraw.Draw(canvas), ImageFont.load_default(11), 0
    for index, (item, image) in enumerate(zip(placed, images, strict=True)):
        x, y = 12 + index % SHEET[0] * (side + 12), 12 + index // SHEET[0] * (side + text)
        canvas.paste(image.resize((side, side), Image.Resampling.LANCZOS), (x, y))
        verdict = judge(_pixels(image), item.scene)
        right += verdict.ok
        pen.multiline_text(
            (x, y + side + 2), _wrap(caption(item.scene), 33), fill="black" if verdict.ok else "#b00020", font=font
        )
    canvas.save(file)
    return right / len(placed)


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGB"))


def _wrap(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width)[:3])


def reconstructions(pipeline: PixArtSigmaPipeline) -> float:
    """Share of true pictures that the judge still accepts after the autoencoder: the ceiling of every member."""
    rng = random.Random(79)
    placed = [draw_scene(rng, held_out=True) for _ in range(200)]
    vae: AutoencoderKL = pipeline.vae
    with torch.inference_mode():
        decoded = vae.decode(encode_scenes(vae, placed).float() / vae.config.scaling_factor).sample
    images = ((decoded.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return sum(judge(image, item.scene).ok for image, item in zip(images, placed, strict=True)) / len(placed)


def main() -> None:
    """Write every figure of the report."""
    parser = argparse.ArgumentParser(prog="rise_shapes.training.report", description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("out/training"))
    parser.add_argument("--weights", type=Path, default=weights_dir())
    parser.add_argument("--to", type=Path, default=Path("docs/family"))
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    pipeline = PixArtSigmaPipeline.from_pretrained(options.weights)
    networks = {
        name: PixArtTransformer2DModel.from_pretrained(options.weights / name / "transformer")
        for name in ("small", "finisher")
    }
    networks = {"large": pipeline.transformer, **networks}
    print("hours", curves(options.run, options.to / "loss.png"))
    print("judged right after the autoencoder", reconstructions(pipeline))
    loss_by_level(pipeline, networks, options.to / "loss-by-sigma.png")
    for name in ("large", "small"):
        member = family().member(name)
        assert member is not None
        pipeline.transformer = networks[name]
        print(name, sheet(pipeline, member.default_steps, member.default_guidance, options.to / f"{name}.png"))


if __name__ == "__main__":
    main()
