"""The resources a person writes: RelayJob, ModelFamily, StagePool (``rise-relay.io/v1alpha1``).

These models are the only source of the custom resource definitions. Field names are camelCase in manifests.
"""

from __future__ import annotations

import itertools
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rise_contracts.model import Grid, Name, Resource, Sigma, Solver, Tier, WireDtype
from rise_contracts.rules import STAGES, labels, rules, unchanged

API_VERSION: Literal["rise-relay.io/v1alpha1"] = "rise-relay.io/v1alpha1"

_LABEL = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def check_labels(labels: dict[str, str]) -> dict[str, str]:
    """ValueError unless every key is a name that a label may have."""
    wrong = next((key for key in labels if not _LABEL.fullmatch(key)), None)
    if wrong is not None:
        raise ValueError(f"names of labels are letters, digits, -, _ and ., with a prefix/ or without, got {wrong!r}")
    return labels


Steps = Annotated[int, Field(ge=1, le=200)]
Pixels = Annotated[int, Field(ge=8, le=4096, multiple_of=8)]
Frames = Annotated[int, Field(ge=1, le=257)]
Guidance = Annotated[float, Field(ge=0, le=50, allow_inf_nan=False)]
Prompt = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S")]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")]
Labels = Annotated[dict[str, LabelValue], Field(max_length=64), AfterValidator(check_labels)]
Notes = Annotated[dict[str, str], Field(max_length=64)]
Deadline = Annotated[float, Field(gt=0, le=7 * 86400, allow_inf_nan=False)]


VIDEOS: dict[str, int] = {"wan": 81}
"""Architectures that make videos, and the frames of one where neither job nor family says how many."""


class Metadata(Resource):
    name: Name = "job"
    namespace: Name = "default"
    uid: str = Field(default="", max_length=64)
    labels: Labels = Field(default_factory=dict)
    annotations: Notes = Field(default_factory=dict)


class StageSpec(Resource):
    """One stage of a fixed relay. All but the last say where they stop (`untilSigma`)."""

    member: Name
    tier: Tier | None = None
    steps: Steps
    until_sigma: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


def check_stages(stages: tuple[StageSpec, ...]) -> None:
    """ValueError unless handoff sigmas are given for all stages but the last, and fall from stage to stage."""
    handoffs = [stage.until_sigma for stage in stages[:-1]]
    given = [sigma for sigma in handoffs if sigma is not None]
    if len(given) != len(handoffs):
        raise ValueError("every stage but the last needs untilSigma, the noise level at which it hands over")
    if stages[-1].until_sigma is not None:
        raise ValueError("the last stage must not have untilSigma: it runs to the end")
    if any(later >= earlier for earlier, later in itertools.pairwise(given)):
        raise ValueError(f"untilSigma must fall from stage to stage, got {given}")


class RelaySpec(Resource):
    """How the job is cut. `Auto` leaves it to the scheduler; `Fixed` names the stages."""

    model_config = rules(
        (
            "self.mode != 'Auto' || size(self.stages) == 0",
            "stages are only for mode Fixed; say mode: Fixed, or leave them out",
        ),
        ("self.mode != 'Fixed' || size(self.stages) > 0", "mode Fixed needs at least one stage"),
        *STAGES,
    )

    mode: Literal["Auto", "Fixed"] = "Auto"
    stages: Annotated[tuple[StageSpec, ...], Field(max_length=8)] = ()
    solver: Solver | None = None
    wire_dtype: WireDtype | None = None

    @model_validator(mode="after")
    def _stages_fit_mode(self) -> Self:
        if self.mode == "Auto":
            if self.stages:
                raise ValueError("stages are only for mode Fixed; say mode: Fixed, or leave the stages out")
        elif not self.stages:
            raise ValueError("mode Fixed needs at least one stage")
        else:
            check_stages(self.stages)
        return self


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
    )

    family: Name = "rise-shapes"
    prompt: Prompt
    negative_prompt: str = Field(default="", max_length=1000)
    seed: int | None = Field(default=None, ge=0, le=2**63 - 1)
    width: Pixels | None = None
    height: Pixels | None = None
    images: int = Field(default=1, ge=1, le=16)
    frames: Frames | None = Field(default=None, description="of a video; None: the family's own, 1 for pictures")
    steps: Steps | None = None
    guidance_scale: Guidance | None = None
    preference: float = Field(default=0.5, ge=0, le=1, description="0 is speed, 1 is quality")
    relay: RelaySpec = RelaySpec()
    device_selector: Labels | None = None
    placement: Literal["Warm", "Dedicated"] = "Warm"
    start_deadline_seconds: Deadline | None = None
    active_deadline_seconds: Deadline | None = None
    backoff_limit: int = Field(default=3, ge=0, le=20)
    suspend: bool = False
    ttl_seconds_after_finished: float | None = Field(default=None, ge=0, le=30 * 86400)
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=128)
    managed_by: str | None = Field(
        default=None,
        max_length=253,
        pattern=r"^[a-z0-9][-a-z0-9.]*/[A-Za-z0-9][-A-Za-z0-9_./]*$",
        description="another controller than Rise's operator, which then leaves the job alone",
    )


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
            "!has(self.path) || !self.path.split('/').exists(part, part == '..')",
            "path must not lead out of its volume: no '..' in it",
        ),
    )

    builtin: Name | None = None
    path: str | None = Field(default=None, min_length=1, max_length=1024, description="of a folder in diffusers form")
    hub: str | None = Field(
        default=None,
        max_length=256,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$",
        description="a repository, as owner/name",
    )
    revision: str | None = Field(default=None, min_length=1, max_length=128)
    variant: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="which files are read, by the word in their names, such as fp16; each source has its own",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("builtin", "path", "hub") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of builtin, path, hub is needed, got {given or 'none'}")
        if self.hub is None and self.revision is not None:
            raise ValueError("revision belongs to hub sources only")
        if self.path is not None and ".." in self.path.split("/"):
            raise ValueError(f"path must not lead out of its folder: no '..' in it, got {self.path!r}")
        return self


class Member(Resource):
    """One denoiser. `sigmaMax` is the highest noise level it was trained for; None means all."""

    name: Name
    source: Source | None = Field(default=None, description="None: the base folder of the family")
    subfolder: str | None = Field(
        default=None, min_length=1, max_length=256, description="None: where its architecture keeps the denoiser"
    )
    parameters: int | None = Field(default=None, ge=1)
    sigma_max: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    default_steps: Steps = 20
    default_guidance: Guidance = 1.0
    tier: Tier = "edge"


class LatentContract(Resource):
    """What all members of a family share. The digest covers the VAE's configuration and weights."""

    channels: int = Field(ge=1, le=256)
    downscale: int = Field(ge=1, le=64, description="pixels per latent cell, along one side")
    scaling_factor: float
    shift_factor: float = 0.0
    packing: Literal["none", "2x2"] = "none"
    digest: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


class NamedRelay(Resource):
    """A relay the scheduler may choose: an arm."""

    model_config = rules(*STAGES)

    name: Name
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1, max_length=8)]
    solver: Solver | None = None
    wire_dtype: WireDtype | None = None

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        check_stages(self.stages)
        return self


class ModelFamilySpec(Resource):
    """Denoisers that share one latent space, and the relays that the scheduler may choose among them."""

    model_config = rules(
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

    architecture: Literal["sd", "sdxl", "pixart", "sd3", "flux", "flux2", "sana", "wan"] = "sd"
    base: Source
    members: Annotated[tuple[Member, ...], Field(min_length=1, max_length=32)]
    latent: LatentContract | None = None
    tiny_vae: Source | None = Field(
        default=None, description="a diffusers AutoencoderTiny of the same latents, for previews and small devices"
    )
    default_size: Pixels = 512
    default_frames: Frames | None = Field(default=None, description="of its videos; None: 81 for wan")
    handoffs: Annotated[tuple[Sigma, ...], Field(max_length=32)] = ()
    relays: Annotated[tuple[NamedRelay, ...], Field(max_length=64)] = ()
    solver: Solver = "euler"
    grid: Grid = "family"
    encoding: Literal["vp"] = "vp"

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
