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
from rise_contracts.errors import InvalidInput, LatentsDiffer, UnknownName
from rise_contracts.frames import frames_of, latent_frames
from rise_contracts.model import Solver, WireDtype
from rise_contracts.resources import VIDEOS, ModelFamily
from rise_contracts.resources import Member as MemberSpec
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.asking import Asking, OnStep, asking
from rise_stage.engine.families.architectures import family_class
from rise_stage.engine.families.base import Conditioning, Family, Shared, TextStates, Tiny
from rise_stage.engine.families.sources import locate
from rise_stage.engine.images import to_pixels
from rise_stage.engine.latents import Latent
from rise_stage.engine.lru import Lru
from rise_stage.engine.member import Member, member_part, seen_by
from rise_stage.engine.noise import unit_noise
from rise_stage.engine.parts import Memory, Part
from rise_stage.engine.plan import stage_grid
from rise_stage.engine.quantise import pack, unpack
from rise_stage.engine.run import Step, run_grid, walk_grid
from rise_stage.engine.schedules import Grid

Precision = Literal["fp32", "fp16", "bf16"]
DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
Offload = Literal["none", "encoders"]
TEXT_BYTES = 64 * 2**20
SMALL_BYTES = 64 * 2**20
"""An autoencoder of at most so much is kept ready by everyone."""


@dataclass(frozen=True)
class Generated:
    """What `Engine.generate` made.

    Attributes:
        images: (B, H, W, 3) uint8, of videos (B, F, H, W, 3).
        latents: (B, C, h, w) or (B, C, f, h, w) float32, clean, in the decoder's scale.
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
    """A family. Denoisers, text encoders and autoencoder are each read when first needed.

    Attributes:
        manifest: the family.
        memory: where they are held; engines may share one.
        tiny_vae: decode pictures, and not only previews, with the tiny autoencoder that the manifest names.
        offload: what rests in the host's memory while it is not used, where `device` has memory of its own.
        decodes: whether it is to be ready to decode before there is anything to decode.
    """

    manifest: ModelFamily
    device: torch.device
    dtype: torch.dtype
    memory: Memory = field(default_factory=Memory)
    tiny_vae: bool = False
    offload: Offload = "none"
    decodes: bool = True
    family: Family = field(init=False)

    def __post_init__(self) -> None:
        spec = self.manifest.spec
        folder = locate(spec.base)
        host = Memory() if self.offload == "encoders" and self.device.type == "cuda" else None
        self._shared = Shared(
            folder, spec.base.variant, self.device, self.dtype, self.memory, host, self._locate_tiny()
        )
        self.family = family_class(spec.architecture)(self._shared)
        self.decodes = self.decodes or self.family.decoder_bytes <= SMALL_BYTES
        self._members: dict[str, Part[Member]] = {}
        self._views: dict[str, Family] = {}
        self._texts: Lru[tuple[Family, str], _Encoded] = Lru(self._encode_text, TEXT_BYTES)
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
        memory: Memory | None = None,
        tiny_vae: bool = False,
        offload: Offload = "none",
        decodes: bool = True,
    ) -> Self:
        """Open a family and load the named members. Raises InvalidInput for anything missing or not fitting.

        `memory_limit` is the bytes of weights to hold, None for all; engines given one `memory` share its limit.
        """
        held = Memory(memory_limit) if memory is None else memory
        engine = cls(manifest, torch.device(device), DTYPES[precision], held, tiny_vae, offload, decodes)
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
        return tuple(name for name, part in self._members.items() if part.loaded)

    def member(self, name: str) -> Member:
        """A member, loaded if need be. Raises UnknownName."""
        if name not in self._members:
            self._members[name] = self._member_part(name)
        return self._members[name]()

    def size(self, width: int | None = None, height: int | None = None) -> tuple[int, int]:
        """(width, height) in pixels, the family's own where None. Raises InvalidInput where latents cannot have it."""
        chosen = (width or self.family.size[0], height or self.family.size[1])
        cell = self.family.cell
        if any(side % cell for side in chosen):
            raise InvalidInput("size", f"sides that are multiples of {cell}", f"{chosen[0]}x{chosen[1]}")
        return chosen

    def frames(self, asked: int | None = None) -> int:
        """How many frames a picture has, the family's own number where None. Raises InvalidInput."""
        return frames_of(self.manifest, asked)

    def latent_shape(self, size: tuple[int, int], frames: int | None = None) -> tuple[int, ...]:
        """(C, H, W) of one latent of pictures of `size`; (C, F, H, W) of videos."""
        cell, frames = self.family.latent.downscale, self.frames(frames)
        depth = (latent_frames(frames),) if self.manifest.spec.architecture in VIDEOS else ()
        return self.family.latent.channels, *depth, size[1] // cell, size[0] // cell

    def encode(
        self,
        prompts: Sequence[str],
        guidance: float = 1.0,
        negative: str = "",
        size: tuple[int, int] | None = None,
        *,
        member: str | None = None,
    ) -> Conditioning:
        """Encoded prompts, one row each; those seen lately come from memory. Guidance acts above 1.

        `member` is who is to be told them; where members have encoders of their own, None is one of the base folder.
        """
        family = self.family if member is None else self._seen_by(member)
        if negative and not family.guided:
            who = f"family {self.name}" if member is None else f"member {member}"
            hint = "it was not trained to be led away from a text"
            raise InvalidInput("negativePrompt", f"none, for {who}", negative, hint)
        states = [self._texts.get((family, prompt)).states for prompt in prompts]
        against = None
        if family.guided and guidance > 1:
            against = [self._negative(family, negative, state) for state in states]
        return family.conditioning(states, against, guidance, size or self.size())

    def noise(self, seeds: Sequence[int], size: tuple[int, int] | None = None, frames: int | None = None) -> Tensor:
        """Unit noise, one row per seed."""
        return unit_noise(seeds, self.latent_shape(size or self.size(), frames)).to(self.device)

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
        schedule = member.schedule_for(tokens, sum(stage.steps for stage in configuration.stages))
        return stage_grid(configuration, index, member.scheduler, schedule, sigma, tokens)

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
        """Clean latents (B, C, H, W) to pictures (B, H, W, 3) uint8; of videos (B, C, f, h, w) to (B, F, H, W, 3)."""
        return to_pixels(self.family.decode(latents.to(self.device)))

    def preview(self, latents: Tensor) -> Tensor:
        """The same at less cost, where the family has a tiny autoencoder: good enough to see what will come of it.

        Of a video it is a picture, of the middle.
        """
        latents = latents.to(self.device)
        if latents.ndim == 4:
            return to_pixels(self.family.preview(latents))
        # Decoding is causal in time: frames up to the middle are all that it takes.
        return to_pixels(self.family.preview(latents[:, :, : (latents.shape[2] + 1) // 2]))[:, -1]

    def warm(self, member: str) -> float:
        """Get ready for single pictures, and make one of three steps; returns what a step of it takes, in seconds.

        The picture is decoded only where the engine `decodes`: a head should not hold an autoencoder for nothing.
        """
        loaded = self.member(member)
        configuration = configuration_of(f"{member}:3", self.manifest)
        noise = self.noise([0])
        conditioning = self.encode(["warm"], configuration.stages[0].guidance, member=member)
        loaded.trace(noise, conditioning)
        if self.decodes:
            self.family.trace_decoder(noise)
        tokens = self.family.tokens(self.size())
        grid = stage_grid(configuration, 0, loaded.scheduler, loaded.schedule, None, tokens)
        steps = list(self.run(member, conditioning, noise, grid, configuration.solver))
        if self.decodes:
            self.decode(steps[-1].x)
        return steps[-1].seconds

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        configuration: Configuration | str,
        *,
        negative: str = "",
        guidance: float | None = None,
        frames: int | None = None,
        on_step: Callable[[int, Step], None] | None = None,
    ) -> Generated:
        """All stages of a configuration (or of an arm's name) in this process, one row per prompt and seed.

        Latents take the form at each handoff that the wire would give them. `guidance` overrides every stage's own.
        """
        if isinstance(configuration, str):
            configuration = configuration_of(configuration, self.manifest)
        start: Tensor | Latent = self.noise(seeds, frames=frames)
        seconds = []
        for stage in configuration.stages:
            scale = stage.guidance if guidance is None else guidance
            conditioning = self.encode(prompts, scale, negative, member=stage.member)
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

    def _seen_by(self, member: str) -> Family:
        if member not in self._views:
            self._views[member] = seen_by(self._spec(member), self.family, self._shared)
        return self._views[member]

    def _negative(self, family: Family, text: str, positive: TextStates) -> TextStates:
        if text and not family.instructed:
            return self._texts.get((family, text)).states
        return family.negative_states(text, positive)

    def _encode_text(self, wanted: tuple[Family, str]) -> _Encoded:
        family, text = wanted
        states = family.encode_text(text)
        held = [tensor for tensor in (states.hidden, states.pooled, states.mask) if tensor is not None]
        return _Encoded(states, sum(tensor.numel() * tensor.element_size() for tensor in held))

    def _member_part(self, name: str) -> Part[Member]:
        return member_part(self._spec(name), self.family, self._shared)

    def _spec(self, name: str) -> MemberSpec:
        spec = self.manifest.member(name)
        if spec is None:
            raise UnknownName("member", name, [member.name for member in self.manifest.spec.members])
        return spec

    def _locate_tiny(self) -> Tiny | None:
        source = self.manifest.spec.tiny_vae
        if source is None and self.tiny_vae:
            hint = "name one in its manifest: spec.tinyVae"
            raise InvalidInput("--tiny-vae", "a family with a tiny autoencoder", self.name, hint)
        return None if source is None else Tiny(locate(source, "tinyVae"), source.variant, self.tiny_vae)

    def _check_contract(self) -> None:
        """A manifest that states its latent contract must be right about it."""
        stated = self.manifest.spec.latent
        if stated is None:
            return
        loaded = self.family.latent.model_copy(update={"digest": self.latent_contract if stated.digest else None})
        if stated != loaded:
            raise LatentsDiffer("latent", f"{loaded!r}, as the VAE is", repr(stated), "correct the family's manifest")


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
