"""What is trained, in which order and for how long. Each part is skipped when it is done and resumed when it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import torch
import torch.distributed as dist
from diffusers import AutoencoderKL, PixArtTransformer2DModel
from safetensors.torch import load_file, save_file
from transformers import T5Tokenizer

from rise_shapes.scene import COLOURS, RELATIONS
from rise_shapes.training import denoisers, finishing
from rise_shapes.training.data import LatentSet, captions, encode_scenes, meanings, named, roles, scenes
from rise_shapes.training.export import write_family
from rise_shapes.training.loop import Stage, load_averaged, put, run_stage
from rise_shapes.training.text import Listener, new_text_encoder, write_tokenizer
from rise_shapes.training.vae import POOL, train_vae, tune_decoder

ORDER: Final = ("vae", "text", "large", "small", "finisher", "distilled", "decoder")
STEPS: Final = {
    "vae": 600,
    "text": 1000,
    "large": 6800,
    "small": 2400,
    "finisher": 2000,
    "distilled": 12_000,
    "decoder": 60,
}
BATCH: Final = {"text": 256, "large": 64, "small": 64, "finisher": 64, "distilled": 64}
SCENES: Final = 60_000
SHARDS: Final = 2
UNFINISHED: Final = 16_128
"""Trajectories of the large denoiser that the finisher learns from: every way to begin, 384 times."""
GUIDANCE: Final = 2.0
"""Scale of classifier-free guidance with which the large denoiser works; the finisher learns its outcome."""
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

    def trained(self, part: str) -> bool:
        """Whether a part's own weights are there: where not, those of ``start`` stand for it."""
        return (self.out / part / "checkpoint.safetensors").exists()

    def first(self, made: Path, make: Callable[[], object]) -> None:
        """Let the first process alone make what is not there yet, and all wait for it.

        All processes must call it: one that looked for itself could find the thing made and wait for nobody.
        """
        if self.rank == 0 and not made.exists():
            make()
        self.meet()

    def meet(self) -> None:
        """Wait until all processes have come this far."""
        if self.world > 1:
            dist.barrier()


def run(out: Path, only: list[str], seed: int, device: str, scale: float, start: Path | None = None) -> None:
    """Make the parts named in ``only``, in order; with all parts there, write the family to ``out/weights``.

    ``start`` is a finished family whose weights to go on from, autoencoder included, instead of from nothing. A part
    that is not trained stays what it is there.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    shop = Workshop(out, seed, device, scale, start, rank, world)
    vae = _vae(shop)
    tokenizer = _tokenizer(shop)
    data = _latents(shop, vae, tokenizer)
    if "text" in only:
        _text(shop, data, len(tokenizer))
    large = _large(shop, data, len(tokenizer), train="large" in only)
    for part in ("small", "finisher", "distilled"):
        if part in only:
            _lean(shop, part, large, data)
    if "decoder" in only:
        tune_decoder(vae, shop.out, shop.steps("decoder"), seed, shop.share(POOL))
    # Nobody waits for the first: what comes after is the end of the process.
    if rank == 0 and (start is not None or all(shop.trained(part) for part in ORDER[1:])):
        _export(shop, vae, tokenizer, large)


def _vae(shop: Workshop) -> AutoencoderKL:
    folder = shop.out / "vae" / "final"
    if shop.start is not None:
        source = shop.start / "vae"
        shop.first(folder, lambda: AutoencoderKL.from_pretrained(source, dtype=torch.float32).save_pretrained(folder))
    elif not folder.exists():
        # None can find it made too early: making it takes all of them.
        made = train_vae(shop.out, shop.steps("vae"), shop.seed, shop.device, shop.share(POOL))
        shop.first(folder, lambda: made.save_pretrained(folder))
    vae = AutoencoderKL.from_pretrained(folder).to(shop.device)
    vae.requires_grad_(False)
    return vae


def _tokenizer(shop: Workshop) -> T5Tokenizer:
    folder = shop.out / "tokenizer"
    shop.first(folder, lambda: write_tokenizer(folder))
    tokenizer: T5Tokenizer = T5Tokenizer.from_pretrained(folder)
    return tokenizer


def _latents(shop: Workshop, vae: AutoencoderKL, tokenizer: T5Tokenizer) -> LatentSet:
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
            covers, traits = meanings(placed)
            latents = encode_scenes(vae, placed)
            save_file({"latents": latents, "tokens": text.input_ids, "covers": covers, "traits": traits}, file)
    shop.meet()
    stored = [load_file(file) for file in files]
    blank = tokenizer("", padding="max_length", return_tensors="pt").input_ids[0]
    parts = {name: torch.cat([part[name] for part in stored]) for name in stored[0]}
    colours = torch.tensor([tokenizer(colour).input_ids[0] for colour in COLOURS])
    where = named(parts["tokens"], parts["covers"], parts["traits"], colours)
    relations = torch.tensor([tokenizer(relation).input_ids[0] for relation in RELATIONS])
    return LatentSet(**parts, named=where, roles=roles(parts["tokens"], relations), blank=blank)


def _text(shop: Workshop, data: LatentSet, vocabulary: int) -> None:
    torch.manual_seed(shop.seed)
    model = Listener(new_text_encoder(vocabulary)).to(shop.device)
    if shop.start is not None:
        go_on_from(model.text, shop.start / "text_encoder")
    loss = partial(model.loss, data, BATCH["text"] // shop.world, shop.device)
    run_stage(Stage("text", model, loss, shop.steps("text"), muon_lr=5e-3, decay=0.5, device=shop.device), shop.out)


def _large(shop: Workshop, data: LatentSet, vocabulary: int, *, train: bool) -> denoisers.WithText:
    torch.manual_seed(shop.seed)
    network = denoisers.trainable(denoisers.new_denoiser(denoisers.SHAPES["large"]))
    model = denoisers.WithText(network, new_text_encoder(vocabulary), reads=True).to(shop.device)
    if shop.start is not None:
        go_on_from(model.network, shop.start / "transformer")
        go_on_from(model.text, shop.start / "text_encoder")
    if train:
        load_averaged(model.text, shop.out / "text", ("text",))
        batch = BATCH["large"] // shop.world
        loss = partial(denoisers.plain_loss, model, data, denoisers.Noise(mean=1.0), batch, device=shop.device)
        stage = Stage("large", model, loss, shop.steps("large"), muon_lr=2.5e-3, decay=0.69, seed=shop.seed)
        put(model, run_stage(replace(stage, device=shop.device), shop.out))
    elif shop.start is None or shop.trained("large"):
        load_averaged(model, shop.out / "large")
    return model.eval().requires_grad_(False)


def _lean(shop: Workshop, part: str, large: denoisers.WithText, data: LatentSet) -> None:
    torch.manual_seed(shop.seed + 1)
    network = denoisers.trainable(denoisers.new_denoiser(denoisers.SHAPES[part])).to(shop.device)
    if shop.start is not None:
        go_on_from(network, shop.start / member(part) / "transformer")
    batch = BATCH[part] // shop.world
    noise = denoisers.Noise() if part == "small" else denoisers.Noise(mean=-0.3, std=1.2, high=FINISHER_SIGMA)
    model = denoisers.WithText(network, large.text)
    loss: Callable[[torch.Generator], dict[str, torch.Tensor]]
    if part == "distilled":
        if shop.start is None or shop.trained("finisher"):
            load_averaged(network, shop.out / "finisher")
        file = shop.out / f"unfinished-{shop.rank}of{shop.world}.safetensors"
        if not file.exists():
            count = max(shop.world, shop.share(UNFINISHED) // finishing.CHUNK)
            batches = range(shop.rank, count, shop.world)
            finishing.half_done(large, data, batches, shop.seed, GUIDANCE, quiet=shop.rank > 0).save(file)
        unfinished = finishing.Unfinished.load(file)
        loss = partial(finishing.distil_loss, model, data, unfinished, noise, batch)
    else:
        loss = partial(denoisers.plain_loss, model, data, noise, batch, device=shop.device)
    peak, decay = (2e-3, 0.8) if part == "distilled" else (3e-3, 0.6)
    stage = Stage(part, network, loss, shop.steps(part), muon_lr=peak, decay=decay, seed=shop.seed, device=shop.device)
    run_stage(stage, shop.out)


def member(part: str) -> str:
    """The member that a part is trained for."""
    return "finisher" if part == "distilled" else part


def go_on_from(module: torch.nn.Module, folder: Path) -> None:
    """Put the shipped weights of a part into ``module``; whatever was trained since is loaded over them."""
    (file,) = folder.glob("*.safetensors")
    put(module, load_file(file))


def _export(shop: Workshop, vae: AutoencoderKL, tokenizer: T5Tokenizer, large: denoisers.WithText) -> None:
    others: dict[str, PixArtTransformer2DModel] = {}
    for part in ("small", "distilled"):
        network = others[member(part)] = denoisers.new_denoiser(denoisers.SHAPES[part])
        if shop.trained(part) or shop.start is None:
            load_averaged(network, shop.out / part)
        else:
            go_on_from(network, shop.start / member(part) / "transformer")
    if shop.trained("decoder"):
        load_averaged(vae.decoder, shop.out / "decoder", ("decoder",))
        load_averaged(vae.post_quant_conv, shop.out / "decoder", ("post_quant_conv",))
    write_family(shop.out / "weights", vae, tokenizer, large, others)
