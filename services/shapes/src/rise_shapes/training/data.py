"""Training scenes: drawn from a seed, rendered, captioned, encoded once to latents and kept in memory."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray

from rise_shapes.grammar import caption, loosen
from rise_shapes.render import coverage, render
from rise_shapes.scene import CANVAS, COLOURS, FILLS, RELATIONS, SHAPES, SIZES, Placed, draw_scene

CELL = 8
"""Side, in pixels, of what one token of a denoiser stands for."""
CELLS = (CANVAS // CELL) ** 2
TRAITS = (COLOURS, SHAPES, SIZES, FILLS)
ALONE = len(RELATIONS)


def scenes(seed: int, count: int, *, held_out: bool = False) -> list[Placed]:
    """``count`` scenes, the same for the same seed."""
    rng = random.Random(seed)
    return [draw_scene(rng, held_out=held_out) for _ in range(count)]


def captions(placed: list[Placed], seed: int) -> list[str]:
    """One caption per scene, some of them leaving things open as a user would."""
    rng = random.Random(seed)
    return [caption(loosen(item.scene, rng)) for item in placed]


def pixels(pictures: list[NDArray[np.uint8]]) -> torch.Tensor:
    """(N, 3, 64, 64) float32 in -1..1."""
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return stacked.float().div_(127.5).sub_(1.0)


class Batch(NamedTuple):
    """Some scenes.

    Attributes:
        latents: (B, 4, 16, 16) float32.
        tokens: (B, T) int64.
        covers: (B, 2, 64), the share of each cell of 8x8 pixels that each thing covers.
        traits: (B, 2, 4) int64, the colour, shape, size and fill of each thing as indices of TRAITS.
        named: (B, 2) int64, which token is the colour of each thing; -1 where there is no such thing.
        roles: (B, 2) int64, the relation of each thing to the other as index of RELATIONS; ALONE for a single thing.
    """

    latents: torch.Tensor
    tokens: torch.Tensor
    covers: torch.Tensor
    traits: torch.Tensor
    named: torch.Tensor
    roles: torch.Tensor


@dataclass(frozen=True)
class LatentSet:
    """Scenes as denoisers see them; fields as of Batch, covers in 255ths, and the empty prompt's ids (T,)."""

    latents: torch.Tensor
    tokens: torch.Tensor
    covers: torch.Tensor
    traits: torch.Tensor
    named: torch.Tensor
    roles: torch.Tensor
    blank: torch.Tensor

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        """A random batch."""
        rows = torch.randint(len(self.latents), (size,), generator=generator)
        return Batch(
            self.latents[rows].float(),
            self.tokens[rows],
            self.covers[rows].float() / 255,
            self.traits[rows].long(),
            self.named[rows],
            self.roles[rows],
        )


@torch.inference_mode()
def encode_scenes(vae: AutoencoderKL, placed: list[Placed], batch: int = 128) -> torch.Tensor:
    """Posterior means of the rendered scenes, scaled to unit variance, as float16."""
    parts = []
    for start in range(0, len(placed), batch):
        x = pixels([render(item) for item in placed[start : start + batch]])
        mean = vae.encode(x.to(vae.device)).latent_dist.mode()
        parts.append((mean * vae.config.scaling_factor).half().cpu())
    return torch.cat(parts).contiguous()


def meanings(placed: list[Placed]) -> tuple[torch.Tensor, torch.Tensor]:
    """Covers (N, 2, 64) uint8, in 255ths, and traits (N, 2, 4) int8; a thing that is not there covers nothing."""
    side = CANVAS // CELL
    covers = np.zeros((len(placed), 2, side * side), np.uint8)
    traits = np.zeros((len(placed), 2, len(TRAITS)), np.int8)
    for row, item in enumerate(placed):
        for which, (thing, centre) in enumerate(zip(item.scene.things, item.centres, strict=True)):
            covered = coverage(thing.shape, thing.size or "large", centre)
            cells = covered.reshape(side, CELL, side, CELL).mean((1, 3))
            covers[row, which] = np.rint(cells.reshape(-1) * 255)
            words = (thing.colour, thing.shape, thing.size or "large", thing.fill)
            traits[row, which] = [options.index(word) for options, word in zip(TRAITS, words, strict=True)]
    return torch.from_numpy(covers), torch.from_numpy(traits)


def named(tokens: torch.Tensor, covers: torch.Tensor, traits: torch.Tensor, colours: torch.Tensor) -> torch.Tensor:
    """Where in its caption (N, T) each thing's colour stands, (N, 2); ``colours`` are the token ids of COLOURS."""
    words = colours[traits[..., 0].long()]
    found = tokens[:, None, :] == words[..., None]
    there = found.any(-1) & (covers.sum(-1) > 0)
    return torch.where(there, found.int().argmax(-1), -1)


def roles(tokens: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
    """What each thing of a caption (N, T) is to the other, (N, 2); ``relations`` are the ids of RELATIONS' first words.

    The relations come in pairs of opposites.
    """
    said = (tokens[:, :, None] == relations).any(1)
    first = torch.where(said.any(-1), said.int().argmax(-1), ALONE)
    return torch.stack([first, torch.where(first == ALONE, ALONE, first ^ 1)], dim=-1)
