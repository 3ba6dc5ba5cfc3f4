"""`Engine`: one family in memory, and everything that can be done with it in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from time import perf_counter
from typing import Literal, Self

import torch
from torch import Tensor

from rise_contracts.configuration import Configuration
from rise_contracts.errors import InvalidInput, UnknownName
from rise_contracts.model import Solver, WireDtype
from rise_contracts.resources import ModelFamily
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.asking import Asking, OnStep, asking
from rise_stage.engine.families.base import Conditioning, Family, Shared, TextStates
from rise_stage.engine.families.flux import Flux
from rise_stage.engine.families.pixart import PixArt
from rise_stage.engine.families.sd import StableDiffusion
from rise_stage.engine.families.sd3 import StableDiffusion3
from rise_stage.engine.families.sdxl import StableDiffusionXL
from rise_stage.engine.families.sources import locate
from rise_stage.engine.images import to_pixels
from rise_stage.engine.latents import Latent
from rise_stage.engine.member import Member, load_member
from rise_stage.engine.members import Lru
from rise_stage.engine.noise import unit_noise
from rise_stage.engine.plan import stage_grid
from rise_stage.engine.quantise import pack, unpack
from rise_stage.engine.run import Step, run_grid, walk_grid
from rise_stage.engine.schedules import Grid

Precision = Literal["fp32", "fp16", "bf16"]
DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
ARCHITECTURES: dict[str, Callable[[Shared], Family]] = {
    "sd": StableDiffusion,
    "sdxl": StableDiffusionXL,
    "pixart": PixArt,
    "sd3": StableDiffusion3,
    "flux": Flux,
}
TEXT_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Generated:
    """What `Engine.generate` made.

    Attributes:
        images: (B, H, W, 3) uint8.
        latents: (B, C, h, w) float32, clean, in the decoder's scale.
        stage_seconds: of each stage's steps.
        decode_seconds: of the decoder.
    """

    images: Tensor
    latents: Tensor
    stage_seconds: tuple[float, ...]
    decode_seconds: float


@dataclass(frozen=True)
class _Encoded:
    states: TextStates
    nbytes: int


@dataclass
class Engine:
    """A family with its shared parts loaded; members are loaded when first asked for.

    Attributes:
        manifest: the family.
        memory_limit: bytes of denoisers to hold; None is no limit.
    """

    manifest: ModelFamily
    device: torch.device
    dtype: torch.dtype
    memory_limit: int | None = None
    family: Family = field(init=False)

    def __post_init__(self) -> None:
        spec = self.manifest.spec
        folder = locate(spec.base)
        self._shared = Shared(folder, spec.base.variant, self.device, self.dtype)
        self.family = ARCHITECTURES[spec.architecture](self._shared)
        self._members: Lru[str, Member] = Lru(self._load_member, self.memory_limit)
        self._texts: Lru[str, _Encoded] = Lru(self._encode_text, TEXT_BYTES)
        self._check_contract()

    @classmethod
    def load(
        cls,
        manifest: ModelFamily,
        members: Sequence[str] = (),
        *,
        device: str = "cpu",
        precision: Precision = "fp32",
        memory_limit: int | None = None,
    ) -> Self:
        """Load a family and the named members. Raises InvalidInput for anything missing or not fitting."""
        engine = cls(manifest, torch.device(device), DTYPES[precision], memory_limit)
        for name in members:
            engine.member(name)
        return engine

    @property
    def name(self) -> str:
        return self.manifest.metadata.name

    @cached_property
    def latent_contract(self) -> str:
        """The hash that the other end of a handoff must have too."""
        return self.family.latent_digest()

    @property
    def loaded(self) -> tuple[str, ...]:
        """The names of the members in memory."""
        return tuple(self._members)

    def member(self, name: str) -> Member:
        """A member, loaded if need be. Raises UnknownName."""
        return self._members.get(name)

    def size(self, width: int | None = None, height: int | None = None) -> tuple[int, int]:
        """(width, height) in pixels, the family's own where None. Raises InvalidInput where latents cannot have it."""
        chosen = (width or self.family.size[0], height or self.family.size[1])
        cell = self.family.cell
        if any(side % cell for side in chosen):
            raise InvalidInput("size", f"sides that are multiples of {cell}", f"{chosen[0]}x{chosen[1]}")
        return chosen

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, int, int]:
        """(C, H, W) of one latent of pictures of `size`."""
        cell = self.family.latent.downscale
        return self.family.latent.channels, size[1] // cell, size[0] // cell

    def encode(
        self, prompts: Sequence[str], guidance: float = 1.0, negative: str = "", size: tuple[int, int] | None = None
    ) -> Conditioning:
        """Encoded prompts, one row each; those seen lately come from memory. Guidance acts above 1."""
        if negative and not self.family.guided:
            hint = "guidance is an input of its denoisers"
            raise InvalidInput("negativePrompt", f"none, for family {self.name}", negative, hint)
        states = [self._texts.get(prompt).states for prompt in prompts]
        against = None
        if self.family.guided and guidance > 1:
            against = [self._negative(negative, state) for state in states]
        return self.family.conditioning(states, against, guidance, size or self.size())

    def noise(self, seeds: Sequence[int], size: tuple[int, int] | None = None) -> Tensor:
        """Unit noise, one row per seed."""
        return unit_noise(seeds, self.latent_shape(size or self.size())).to(self.device)

    def grid(
        self,
        configuration: Configuration,
        index: int,
        sigma: float | None = None,
        size: tuple[int, int] | None = None,
    ) -> Grid:
        """The grid of a stage for pictures of `size`; `sigma` is the level that came in, None for a head."""
        member = self.member(configuration.stages[index].member)
        start = member.schedule.sigma_max if sigma is None else sigma
        if sigma is not None and start > member.sigma_max * (1 + 1e-5):
            raise InvalidInput("sigma", f"at most {member.sigma_max:g} for member {member.name}", sigma)
        if sigma is None and member.sigma_max < member.schedule.sigma_max:
            hint = "let another member begin"
            raise InvalidInput("member", "one that can begin from pure noise", member.name, hint)
        tokens = self.family.tokens(size or self.size())
        return stage_grid(configuration, index, member.scheduler, member.schedule_for(tokens), sigma, tokens)

    def run(
        self, member: str, conditioning: Conditioning, start: Tensor | Latent, grid: Grid, solver: Solver = "euler"
    ) -> Iterator[Step]:
        """Denoise along `grid` from unit noise or from a latent, one Step after another; stop iterating to stop."""
        return run_grid(self.member(member).denoiser(conditioning), self._here(start), grid, solver)

    def ask(
        self,
        member: str,
        conditioning: Conditioning,
        start: Tensor | Latent,
        grid: Grid,
        solver: Solver,
        on_step: OnStep,
    ) -> Asking[Step]:
        """The same as `run`, with the forward passes left to whoever drives it; gives the last Step."""
        loaded = self.member(member)
        return asking(walk_grid(self._here(start), grid, solver), loaded.denoiser(conditioning), loaded, on_step)

    def decode(self, latents: Tensor) -> Tensor:
        """Clean latents (B, C, H, W) to pictures (B, H, W, 3) uint8."""
        return to_pixels(self.family.decode(latents.to(self.device)))

    def warm(self, member: str) -> float:
        """Get ready for single pictures, and make one of three steps; returns what a step takes, in seconds."""
        loaded = self.member(member)
        configuration = configuration_of(f"{member}:3", self.manifest)
        noise = self.noise([0])
        conditioning = self.encode(["warm"], configuration.stages[0].guidance)
        loaded.trace(noise, conditioning)
        self.family.trace_decoder(noise)
        tokens = self.family.tokens(self.size())
        grid = stage_grid(configuration, 0, loaded.scheduler, loaded.schedule, None, tokens)
        steps = list(self.run(member, conditioning, noise, grid, configuration.solver))
        self.decode(steps[-1].x)
        return steps[-1].seconds / (1 if conditioning.guidance is None else 2)

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        configuration: Configuration | str,
        *,
        negative: str = "",
        guidance: float | None = None,
        on_step: Callable[[int, Step], None] | None = None,
    ) -> Generated:
        """All stages of a configuration (or of an arm's name) in this process, one row per prompt and seed.

        Latents take the form at each handoff that the wire would give them. `guidance` overrides every stage's own.
        """
        if isinstance(configuration, str):
            configuration = configuration_of(configuration, self.manifest)
        start: Tensor | Latent = self.noise(seeds)
        seconds = []
        for stage in configuration.stages:
            conditioning = self.encode(prompts, stage.guidance if guidance is None else guidance, negative)
            grid = self.grid(configuration, stage.index, start.sigma if isinstance(start, Latent) else None)
            began = perf_counter()
            for made in self.run(stage.member, conditioning, start, grid, configuration.solver):
                if on_step is not None:
                    on_step(stage.index, made)
            seconds.append(perf_counter() - began)
            if stage.index + 1 < len(configuration.stages):
                start = over_the_wire(handed_over(made.latent, configuration, stage.index), configuration.wire_dtype)
        began = perf_counter()
        images = self.decode(made.x)
        return Generated(images, made.x.cpu(), tuple(seconds), perf_counter() - began)

    def _here(self, start: Tensor | Latent) -> Tensor | Latent:
        return replace(start, x=start.x.to(self.device, torch.float32)) if isinstance(start, Latent) else start

    def _negative(self, text: str, positive: TextStates) -> TextStates:
        if text:
            return self._texts.get(text).states
        return self.family.negative_states(text, positive)

    def _encode_text(self, text: str) -> _Encoded:
        states = self.family.encode_text(text)
        held = [tensor for tensor in (states.hidden, states.pooled, states.mask) if tensor is not None]
        return _Encoded(states, sum(tensor.numel() * tensor.element_size() for tensor in held))

    def _load_member(self, name: str) -> Member:
        spec = self.manifest.member(name)
        if spec is None:
            raise UnknownName("member", name, [member.name for member in self.manifest.spec.members])
        return load_member(spec, self.family, self._shared)

    def _check_contract(self) -> None:
        """A manifest that states its latent contract must be right about it."""
        stated = self.manifest.spec.latent
        if stated is None:
            return
        loaded = self.family.latent.model_copy(update={"digest": self.latent_contract if stated.digest else None})
        if stated != loaded:
            raise InvalidInput("latent", f"{loaded!r}, as the VAE is", repr(stated), "correct the family's manifest")


def handed_over(latent: Latent, configuration: Configuration, index: int) -> Latent:
    """What of a latent goes along after stage `index`: what the solver remembers, only to the same member.

    What another member took for the clean latent is no earlier value of the function that is being integrated.
    """
    same = configuration.stages[index].member == configuration.stages[index + 1].member
    return latent if same else Latent(latent.x, latent.sigma)


def over_the_wire(latent: Latent, dtype: WireDtype) -> Latent:
    """The latent as its receiver would have it."""
    x = unpack("x", pack("x", latent.x, dtype), dtype)
    past = latent.past
    if past is not None:
        past = past.changed(lambda tensor: unpack("x", pack("x", tensor, dtype), dtype))
    return Latent(x, latent.sigma, past, latent.lost if dtype == "fp32" else None)
