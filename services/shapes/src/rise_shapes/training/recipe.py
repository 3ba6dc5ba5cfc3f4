"""What is trained, in which order and for how long. Each part is skipped when it is done and resumed when it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch
import torch.distributed as dist
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from rise_shapes.training import denoisers, finishing
from rise_shapes.training.data import LatentSet, captions, encode_scenes, scenes
from rise_shapes.training.export import write_family
from rise_shapes.training.loop import Stage, load_averaged, run_stage
from rise_shapes.training.text import new_text_encoder, write_tokenizer
from rise_shapes.training.vae import POOL, train_vae, tune_decoder

ORDER: Final = ("vae", "large", "small", "finisher", "distilled", "decoder")
STEPS: Final = {"vae": 600, "large": 2650, "small": 1500, "finisher": 700, "distilled": 600, "decoder": 60}
BATCH: Final = {"large": 48, "small": 32, "finisher": 32, "distilled": 32}
SCENES: Final = 48_000
SHARDS: Final = 2
UNFINISHED: Final = 1_344
"""Trajectories of the large denoiser that the finisher learns from."""
FINISHER_SIGMA: Final = 2.6
"""The finisher is trained at and below this noise level only."""


@dataclass(frozen=True)
class Workshop:
    """Where and how the parts are made: folder, seed, share of the full step counts, weights to start from, process."""

    out: Path
    seed: int
    device: str
    scale: float
    start: Path | None = None
    rank: int = 0
    world: int = 1

    def steps(self, part: str) -> int:
        """Optimiser steps of a part."""
        return max(2, round(STEPS[part] * self.scale))

    def share(self, count: int) -> int:
        """A number of scenes, less for a quick check."""
        return max(finishing.CHUNK, round(count * min(1.0, self.scale)))

    def first(self, make: Callable[[], object]) -> None:
        """Let the first process alone do something, and all wait for it."""
        if self.rank == 0:
            make()
        if self.world > 1:
            dist.barrier()


def run(out: Path, only: list[str], seed: int, device: str, scale: float, start: Path | None = None) -> None:
    """Make the parts named in ``only``, in order; with all parts done, write the family to ``out/weights``.

    ``start`` is a finished family whose weights to go on from, autoencoder included, instead of from nothing.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    shop = Workshop(out, seed, device, scale, start, rank, world)
    vae = _vae(shop)
    tokenizer = _tokenizer(shop)
    data = _latents(shop, vae, tokenizer)
    large = _large(shop, data, len(tokenizer), train="large" in only)
    for part in ("small", "finisher", "distilled"):
        if part in only:
            _lean(shop, part, large, data)
    if "decoder" in only:
        tune_decoder(vae, shop.out, shop.steps("decoder"), seed, shop.share(POOL))
    if all((out / part / "checkpoint.safetensors").exists() for part in ORDER[1:]):
        shop.first(lambda: _export(shop, vae, tokenizer, large))


def _vae(shop: Workshop) -> AutoencoderKL:
    folder = shop.out / "vae" / "final"
    if shop.start is not None and not folder.exists():
        source = shop.start / "vae"
        shop.first(lambda: AutoencoderKL.from_pretrained(source, dtype=torch.float32).save_pretrained(folder))
    if not folder.exists():
        vae = train_vae(shop.out, shop.steps("vae"), shop.seed, shop.device, shop.share(POOL))
        shop.first(lambda: vae.save_pretrained(folder))
    vae = AutoencoderKL.from_pretrained(folder).to(shop.device)
    vae.requires_grad_(False)
    return vae


def _tokenizer(shop: Workshop) -> CLIPTokenizer:
    folder = shop.out / "tokenizer"
    shop.first(lambda: write_tokenizer(folder))
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    return tokenizer


def _latents(shop: Workshop, vae: AutoencoderKL, tokenizer: CLIPTokenizer) -> LatentSet:
    """The training set as latents, in shards; a process makes and reads its own, and one alone reads all."""
    groups = min(shop.world, SHARDS)
    shards = range(shop.rank % groups, SHARDS, groups)
    files = [shop.out / f"latents-{shard}of{SHARDS}.safetensors" for shard in shards]
    for shard, file in zip(shards, files, strict=True):
        if not file.exists() and shop.rank < SHARDS:
            placed = scenes(shop.seed + 1 + shard, shop.share(SCENES) // SHARDS)
            text = tokenizer(
                captions(placed, shop.seed + shard), padding="max_length", truncation=True, return_tensors="pt"
            )
            save_file({"latents": encode_scenes(vae, placed), "tokens": text.input_ids}, file)
    shop.first(lambda: None)
    stored = [load_file(file) for file in files]
    blank = tokenizer("", padding="max_length", return_tensors="pt").input_ids[0]
    return LatentSet(torch.cat([s["latents"] for s in stored]), torch.cat([s["tokens"] for s in stored]), blank)


def _large(shop: Workshop, data: LatentSet, vocabulary: int, *, train: bool) -> denoisers.WithText:
    torch.manual_seed(shop.seed)
    unet = denoisers.trainable(denoisers.new_denoiser(denoisers.SHAPES["large"]))
    model = denoisers.WithText(unet, new_text_encoder(vocabulary)).to(shop.device)
    if shop.start is not None:
        go_on_from(model.unet, shop.start / "unet")
        go_on_from(model.text, shop.start / "text_encoder")
    if train:
        loss = partial(_plain, model, data, denoisers.Noise(), BATCH["large"] // shop.world, shop.device)
        stage = Stage(
            "large", model, loss, shop.steps("large"), lr=1e-3, muon_lr=4e-3, seed=shop.seed, device=shop.device
        )
        model.load_state_dict(run_stage(stage, shop.out))
    else:
        load_averaged(model, shop.out / "large")
    return model.eval().requires_grad_(False)


def _lean(shop: Workshop, part: str, large: denoisers.WithText, data: LatentSet) -> None:
    torch.manual_seed(shop.seed + 1)
    unet = denoisers.trainable(denoisers.new_denoiser(denoisers.SHAPES[part])).to(shop.device)
    if shop.start is not None:
        go_on_from(unet, shop.start / ("small" if part == "small" else "finisher") / "unet")
    batch = BATCH[part] // shop.world
    noise = denoisers.Noise() if part == "small" else denoisers.Noise(mean=-0.3, std=1.2, high=FINISHER_SIGMA)
    loss: Callable[[torch.Generator], dict[str, torch.Tensor]]
    if part == "distilled":
        load_averaged(unet, shop.out / "finisher")
        file = shop.out / "unfinished.safetensors"
        if not file.exists():
            shop.first(lambda: finishing.half_done(large, data, shop.share(UNFINISHED), shop.seed).save(file))
        unfinished = finishing.Unfinished.load(file)
        loss = partial(finishing.distil_loss, unet, large, data, unfinished, noise, batch)
    else:
        loss = partial(_plain, denoisers.OnText(unet, large.text), data, noise, batch, shop.device)
    peak = 1e-3 if part == "distilled" else 3e-3
    stage = Stage(part, unet, loss, shop.steps(part), lr=1e-3, muon_lr=peak, seed=shop.seed, device=shop.device)
    run_stage(stage, shop.out)


def _plain(
    model: torch.nn.Module,
    data: LatentSet,
    noise: denoisers.Noise,
    batch: int,
    device: str,
    generator: torch.Generator,
) -> dict[str, torch.Tensor]:
    return {"velocity": denoisers.plain_loss(model, data, noise, batch, generator, device)}


def go_on_from(module: torch.nn.Module, folder: Path) -> None:
    """Put the shipped weights of a part into ``module``; whatever was trained since is loaded over them."""
    (file,) = folder.glob("*.safetensors")
    names = set(module.state_dict())
    stored = {_known(name, names): tensor.float() for name, tensor in load_file(file).items()}
    module.load_state_dict(stored)


def _known(name: str, names: set[str]) -> str:
    """A stored name as the module has it: transformers writes its text model with a prefix of its own."""
    return name if name in names else name.removeprefix("text_model.")


def _export(shop: Workshop, vae: AutoencoderKL, tokenizer: CLIPTokenizer, large: denoisers.WithText) -> None:
    others: dict[str, UNet2DConditionModel] = {}
    for name, part in (("small", "small"), ("finisher", "distilled")):
        others[name] = denoisers.new_denoiser(denoisers.SHAPES[name])
        load_averaged(others[name], shop.out / part)
    load_averaged(vae.decoder, shop.out / "decoder", ("decoder",))
    load_averaged(vae.post_quant_conv, shop.out / "decoder", ("post_quant_conv",))
    write_family(shop.out / "weights", vae, tokenizer, large, others)
