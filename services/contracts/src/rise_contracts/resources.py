"""The resources a person writes: RelayJob, ModelFamily, and StagePool in `rise_contracts.pools`.

These models are the only source of the custom resource definitions. Field names are camelCase in manifests.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rise_contracts.model import Grid, Name, Resource, Sha256, Solver, Tier
from rise_contracts.parts import (
    API_VERSION,
    Frames,
    Guidance,
    Handoff,
    Labels,
    Metadata,
    OwnSolver,
    OwnWireDtype,
    Pixels,
    RelaySpec,
    StageSpec,
    Steps,
    check_stages,
)
from rise_contracts.rules import STAGES, labels, rules, unchanged

__all__ = [
    "VIDEOS",
    "LatentContract",
    "Member",
    "Metadata",
    "ModelFamily",
    "ModelFamilySpec",
    "NamedRelay",
    "RelayJob",
    "RelayJobSpec",
    "RelaySpec",
    "Source",
    "StageSpec",
]

Prompt = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S")]
Deadline = Annotated[float, Field(gt=0, le=7 * 86400, allow_inf_nan=False)]

MOST_FRAMES = 1024
"""Frames that one job may ask for, over all its videos."""

VIDEOS: dict[str, int] = {"wan": 81}
"""Architectures that make videos, and the frames of one where neither job nor family says how many."""


class RelayJobSpec(Resource):
    """What is wanted. Immutable after acceptance but for `suspend` and `ttlSecondsAfterFinished`."""

    model_config = rules(
        *unchanged(
            always="family prompt negativePrompt images preference relay placement backoffLimit".split(),
            maybe="seed width height frames steps guidanceScale deviceSelector startDeadlineSeconds "
            "activeDeadlineSeconds idempotencyKey managedBy".split(),
            kind="RelayJob",
        ),
        *labels("deviceSelector"),
        (
            f"!has(self.frames) || self.images * self.frames <= {MOST_FRAMES}",
            f"images times frames must be at most {MOST_FRAMES}; make another job for the rest",
        ),
        (
            "!has(self.steps) || size(self.relay.stages) == 0 || self.relay.stages.map(s, s.steps).sum() == self.steps",
            "steps must be left out of a fixed relay, or be what its stages add up to",
        ),
    )

    family: Name = Field(default="rise-shapes", description="The ModelFamily whose members make the pictures.")
    prompt: Prompt = Field(description="What the pictures show; 1 to 1000 characters.")
    negative_prompt: str = Field(
        default="", max_length=1000, description="What they do not show; it counts at a guidance above 1."
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        le=2**63 - 1,
        description="Of the noise: the same seed and configuration give the same pictures. Unset: one is drawn.",
    )
    width: Pixels | None = Field(default=None, description="Pixels, a multiple of 8. Unset: the size of the family.")
    height: Pixels | None = Field(default=None, description="Pixels, a multiple of 8. Unset: the size of the family.")
    images: int = Field(default=1, ge=1, le=16, description="How many pictures or videos, 1 to 16.")
    frames: Frames | None = Field(
        default=None, description="Of each video, 1 to 257. Unset: as the family says, and 1 where it makes pictures."
    )
    steps: Steps | None = Field(
        default=None, description="Denoising steps of all stages together, 1 to 200. Unset: what members usually take."
    )
    guidance_scale: Guidance | None = Field(
        default=None, description="How strictly the prompt is followed, 0 to 50. Unset: what members usually take."
    )
    preference: float = Field(
        default=0.5, ge=0, le=1, description="From 0, as soon as possible, to 1, as good as possible."
    )
    relay: RelaySpec = RelaySpec()
    device_selector: Labels | None = Field(
        default=None, description="Labels that a worker on a device must have, such as its owner's. Unset: any worker."
    )
    placement: Literal["Warm", "Dedicated"] = Field(
        default="Warm", description="Warm: workers of the pools. Dedicated: pods of its own, which load members first."
    )
    start_deadline_seconds: Deadline | None = Field(
        default=None, description="The job fails where no stage has begun by then; seconds, at most a week."
    )
    active_deadline_seconds: Deadline | None = Field(
        default=None, description="The job fails where it has not ended by then; seconds, at most a week."
    )
    backoff_limit: int = Field(default=3, ge=0, le=20, description="Attempts after the first that failed, 0 to 20.")
    suspend: bool = Field(default=False, description="Put the job aside; it goes on once this is false.")
    ttl_seconds_after_finished: float | None = Field(
        default=None,
        ge=0,
        le=30 * 86400,
        description="Delete the job and its pictures this many seconds after its end, at most 30 days. Unset: never.",
    )
    idempotency_key: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="Jobs of a namespace with the same key are one job; with the same key, another spec is refused.",
    )
    managed_by: str | None = Field(
        default=None,
        max_length=253,
        pattern=r"^[a-z0-9][-a-z0-9.]*/[A-Za-z0-9][-A-Za-z0-9_./]*$",
        description="Another controller than Rise's operator, as domain/name; the operator leaves the job to it.",
    )

    @model_validator(mode="after")
    def _numbers_fit(self) -> Self:
        if self.frames is not None and self.images * self.frames > MOST_FRAMES:
            raise ValueError(f"images times frames must be at most {MOST_FRAMES}, got {self.images * self.frames}")
        total = sum(stage.steps for stage in self.relay.stages)
        if total and self.steps not in (None, total):
            raise ValueError(f"steps must be left out of a fixed relay, or be the {total} that its stages add up to")
        return self


class RelayJob(Resource):
    """One picture (or video) by relay: a large model begins it at the edge, a small one ends it on a device."""

    model_config = rules(
        ("size(self.metadata.name) <= 63", "the name of a RelayJob has at most 63 characters: labels carry it"),
    )

    api_version: Literal["rise-relay.io/v1alpha1"] = API_VERSION
    kind: Literal["RelayJob"] = "RelayJob"
    metadata: Metadata = Metadata()
    spec: RelayJobSpec


class Source(Resource):
    """Where weights come from: exactly one of `builtin`, `path`, `hub`."""

    model_config = rules(
        (
            "[has(self.builtin), has(self.path), has(self.hub)].filter(given, given).size() == 1",
            "exactly one of builtin, path and hub is needed",
        ),
        ("!has(self.revision) || has(self.hub)", "revision belongs to hub sources only"),
        (
            # In a cluster alone: on one's own machine a path may lead anywhere.
            r"!has(self.path) || !self.path.matches(r'^~|(^|/)\.\.(/|$)')",
            "path must lie on the model volume of the pools: no '~' before and no '..' in it",
        ),
    )

    builtin: Name | None = Field(default=None, description="A family that ships with Rise: rise-shapes.")
    path: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="A folder in diffusers layout, safetensors only. In a cluster: on the model volume of the pools.",
    )
    hub: str | None = Field(
        default=None,
        max_length=256,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$",
        description="A model repository on the Hugging Face hub, as owner/name.",
    )
    revision: str | None = Field(
        default=None, min_length=1, max_length=128, description="Commit, tag or branch of the hub's repository."
    )
    variant: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Which files are read, by the word in their names, such as fp16; each source has its own.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("builtin", "path", "hub") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of builtin, path, hub is needed, got {given or 'none'}")
        if self.hub is None and self.revision is not None:
            raise ValueError("revision belongs to hub sources only")
        return self


class Member(Resource):
    """One denoiser of a family."""

    name: Name = Field(description="What relays and pools call it.")
    source: Source | None = Field(default=None, description="Where its weights are. Unset: in the base of the family.")
    subfolder: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="Of its source. Unset: where its architecture keeps the denoiser.",
    )
    parameters: int | None = Field(default=None, ge=1, description="How many weights it has.")
    sigma_max: Handoff | None = Field(
        default=None, description="The highest noise level it was trained for; it then only finishes. Unset: all."
    )
    default_steps: Steps = Field(default=20, description="Steps that it usually takes from pure noise, 1 to 200.")
    default_guidance: Guidance = Field(default=1.0, description="Guidance that it usually takes, 0 to 50.")
    tier: Tier = Field(default="edge", description="Where it is at home.")


class LatentContract(Resource):
    """What all members of a family share. The digest covers the VAE's configuration and weights."""

    channels: int = Field(ge=1, le=256, description="Of the latent, 1 to 256.")
    downscale: int = Field(ge=1, le=64, description="Pixels per latent cell along one side, 1 to 64.")
    scaling_factor: float = Field(description="What the latents of the VAE are multiplied by.")
    shift_factor: float = Field(default=0.0, description="What is taken from the latents of the VAE before.")
    packing: Literal["none", "2x2"] = Field(default="none", description="2x2: four cells are channels of one.")
    digest: Sha256 | None = Field(default=None, description="SHA-256 of the VAE, in hexadecimal.")


class NamedRelay(Resource):
    """A relay the scheduler may choose: an arm."""

    model_config = rules(*STAGES)

    name: Name = Field(description="What decisions call it.")
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1, max_length=8)] = Field(
        description="In their order, 1 to 8. untilSigma falls from each to the next."
    )
    solver: OwnSolver = None
    wire_dtype: OwnWireDtype = None

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        check_stages(self.stages)
        return self


class ModelFamilySpec(Resource):
    """Denoisers that share one latent space, and the relays that the scheduler may choose among them."""

    model_config = rules(
        *unchanged(always=("architecture",), kind="ModelFamily"),
        (
            "self.members.all(m, self.members.exists_one(other, other.name == m.name))",
            "the names of members must differ",
        ),
        (
            "self.relays.all(r, r.stages.all(s, self.members.exists(m, m.name == s.member)))",
            "relays may only name members of the family",
        ),
        (
            "self.relays.all(r, self.relays.exists_one(other, other.name == r.name))",
            "the names of relays must differ",
        ),
        (
            "!has(self.defaultFrames) || self.architecture == 'wan'",
            "defaultFrames is for videos: only architecture wan makes them",
        ),
    )

    architecture: Literal["sd", "sdxl", "pixart", "sd3", "flux", "flux2", "sana", "wan"] = Field(
        default="sd", description="Which kind of denoiser, autoencoder and text encoders it is; wan makes videos."
    )
    base: Source = Field(description="The autoencoder, the text encoders and those members that have no source.")
    members: Annotated[tuple[Member, ...], Field(min_length=1, max_length=32)] = Field(
        description="Its denoisers, 1 to 32."
    )
    latent: LatentContract | None = Field(
        default=None, description="What the members share. Unset: what the base says. A member that differs is refused."
    )
    tiny_vae: Source | None = Field(
        default=None, description="A diffusers AutoencoderTiny of the same latents, for previews and small devices."
    )
    default_size: Pixels = Field(default=512, description="Pixels a side where a job says none; a multiple of 8.")
    default_frames: Frames | None = Field(default=None, description="Of its videos, 1 to 257. Unset: 81 for wan.")
    handoffs: Annotated[tuple[Handoff, ...], Field(max_length=32)] = Field(
        default=(), description="Noise levels (sigma) at which the scheduler may cut a job, at most 32, all above 0."
    )
    relays: Annotated[tuple[NamedRelay, ...], Field(max_length=64)] = Field(
        default=(), description="Relays the scheduler may choose, at most 64. None: those that the handoffs give."
    )
    solver: Solver = Field(default="euler", description="How a step is taken where neither job nor relay says.")
    grid: Grid = Field(default="family", description="How noise levels are spaced; family: as its own files say.")
    encoding: Literal["vp"] = Field(default="vp", description="The form in which latents are handed over.")

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = [member.name for member in self.members]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"member names must differ, got {twice} twice")
        relays = [relay.name for relay in self.relays]
        twice = sorted({name for name in relays if relays.count(name) > 1})
        if twice:
            raise ValueError(f"relay names must differ, got {twice} twice")
        for relay in self.relays:
            unknown = sorted({stage.member for stage in relay.stages} - set(names))
            if unknown:
                raise ValueError(f"relay {relay.name!r} names unknown members {unknown}; members: {sorted(names)}")
        return self

    @model_validator(mode="after")
    def _frames_fit(self) -> Self:
        if self.default_frames is not None and self.architecture not in VIDEOS:
            raise ValueError(f"defaultFrames is for videos, which architecture {self.architecture!r} does not make")
        return self


class ModelFamily(Resource):
    """Models that can take over from each other in mid-picture, for they share one latent space."""

    model_config = rules(
        ("size(self.metadata.name) <= 63", "the name of a ModelFamily has at most 63 characters"),
        (
            "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "the name of a ModelFamily has no dots in it",
        ),
    )

    api_version: Literal["rise-relay.io/v1alpha1"] = API_VERSION
    kind: Literal["ModelFamily"] = "ModelFamily"
    metadata: Metadata
    spec: ModelFamilySpec

    def member(self, name: str) -> Member | None:
        return next((member for member in self.spec.members if member.name == name), None)
