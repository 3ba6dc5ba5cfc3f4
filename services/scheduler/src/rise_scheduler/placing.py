"""An arm meets the fleet: it becomes a configuration with its forecast, or is masked with the reason. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rise_contracts.configuration import Configuration, Stage
from rise_contracts.messages import Configure
from rise_contracts.model import DEFAULT_WIRE, Tier, WireDtype
from rise_contracts.resources import ModelFamily, RelayJobSpec
from rise_scheduler.arm import Arm, ArmPart
from rise_scheduler.fleet import Fleet
from rise_scheduler.pace import load_prior
from rise_scheduler.place import Place
from rise_scheduler.posterior import Posterior
from rise_scheduler.predict import Forecast, forecast, latent_bytes
from rise_scheduler.quality import expected_quality


class Candidate(NamedTuple):
    """An arm that can run now, at ``places``, one per part. ``cold`` names a member that no worker at its place holds
    yet; empty when all are loaded. ``keys`` name its stages as pool/member. ``stages`` are these again, each with its
    tier, its seconds by formula and the variance of their logarithm: what the hottest loop of a decision goes through.
    """

    arm: Arm
    places: tuple[Place, ...]
    forecast: Forecast
    quality: float
    cold: str
    keys: tuple[str, ...]
    tiers: tuple[Tier, ...]
    stages: tuple[tuple[str, Tier, float | None, float], ...]
    wait_key: str

    @classmethod
    def at(cls, arm: Arm, places: tuple[Place, ...], forecast: Forecast, quality: float) -> Candidate:
        """The candidate with all that follows."""
        cold, keys, tiers = "", [], []
        for part, place in zip(arm.parts, places, strict=True):
            keys.append(f"{place.pool}/{part.member}")
            tiers.append(place.tier)
            if not place.loaded:
                cold = cold or part.member
        stages = tuple(zip(keys, tiers, forecast.stage_seconds, forecast.spreads, strict=True))
        wait_key = f"wait/{places[0].pool}"
        return cls(arm, places, forecast, quality, cold, tuple(keys), tuple(tiers), stages, wait_key)


@dataclass(frozen=True, slots=True)
class Masked:
    """An arm that cannot run now, and why."""

    arm: Arm
    reason: str


def place_arms(
    arms: Sequence[Arm],
    question: Configure,
    family: ModelFamily,
    fleet: Fleet,
    posterior: Posterior,
    *,
    longest_load_s: float = 0.0,
) -> tuple[list[Candidate], list[Masked]]:
    """Sort ``arms`` into those that can run and those that cannot.

    An arm that would first have to load a member is left out while another needs no loading, unless its latency is
    known and loading takes less than ``longest_load_s``: beyond some time a utility tells lengths apart no more, and a
    policy that does not weigh seconds would load a member for every job. When nothing is loaded, every arm that has
    workers may run.
    """
    finder = _Finder(question, family, fleet)
    spec = question.request.spec
    placed = [_placed(arm, finder, spec, family, posterior) for arm in arms]
    candidates = [item for item in placed if isinstance(item, Candidate)]
    masked = [item for item in placed if isinstance(item, Masked)]
    if any(not item.cold for item in candidates):
        masked += [Masked(item.arm, _too_cold(item)) for item in candidates if _is_too_cold(item, longest_load_s)]
        candidates = [item for item in candidates if not _is_too_cold(item, longest_load_s)]
    return candidates, masked


def _is_too_cold(item: Candidate, longest_load_s: float) -> bool:
    seen = item.forecast
    return bool(item.cold) and (seen.latency_s is None or sum(seen.loads) >= longest_load_s)


def _too_cold(item: Candidate) -> str:
    reason = f"no worker has {item.cold} loaded"
    if item.forecast.latency_s is None:
        return f"{reason}, or a step of every member measured"
    return f"{reason}; loading takes about {sum(item.forecast.loads):.1f} s"


def configuration_of(candidate: Candidate, question: Configure, family: ModelFamily) -> Configuration:
    """The configuration that a candidate stands for."""
    spec, arm = question.request.spec, candidate.arm
    return Configuration(
        arm=arm.name,
        stages=_stages(arm, candidate.places, question, family),
        solver=spec.relay.solver or arm.solver or family.spec.solver,
        grid=family.spec.grid,
        wire_dtype=_wire_dtype(arm, spec),
    )


def _placed(
    arm: Arm, finder: _Finder, spec: RelayJobSpec, family: ModelFamily, posterior: Posterior
) -> Candidate | Masked:
    places: list[Place] = []
    for part in arm.parts:
        place = finder.place(part)
        if isinstance(place, str):
            return Masked(arm, place)
        places.append(place)
    nbytes = finder.latent_bytes(_wire_dtype(arm, spec)) if len(places) > 1 else 0
    predicted = forecast(arm.parts, places, spec.images, nbytes)
    return Candidate.at(arm, tuple(places), predicted, expected_quality(arm, family, posterior))


def _wire_dtype(arm: Arm, spec: RelayJobSpec) -> WireDtype:
    return spec.relay.wire_dtype or arm.wire_dtype or DEFAULT_WIRE


class _Finder:
    """Where the parts of one job's arms could run; arms share members, so each place is looked for once."""

    def __init__(self, question: Configure, family: ModelFamily, fleet: Fleet) -> None:
        self._question, self._family, self._fleet = question, family, fleet
        self._parameters = {member.name: member.parameters for member in family.spec.members}
        self._places: dict[tuple[str, Tier], Place | str] = {}
        self._bytes: dict[WireDtype, int] = {}

    def place(self, part: ArmPart) -> Place | str:
        """The place of ``part``, or what is missing."""
        first = self._place_in(part.member, part.tier)
        if isinstance(first, Place) or not part.movable:
            return first
        second = self._place_in(part.member, "device" if part.tier == "edge" else "edge")
        return second if isinstance(second, Place) else first

    def latent_bytes(self, dtype: WireDtype) -> int:
        """The size of the job's latents on the wire."""
        if dtype not in self._bytes:
            self._bytes[dtype] = latent_bytes(self._question.request.spec, self._family, dtype)
        return self._bytes[dtype]

    def _place_in(self, member: str, tier: Tier) -> Place | str:
        found = self._places.get((member, tier))
        if found is None:
            selector = self._question.request.spec.device_selector if tier == "device" else None
            avoid, family = self._question.avoid, self._family.metadata.name
            prior_s = load_prior(self._parameters[member])
            found = self._fleet.place(tier, family, member, avoid=avoid, selector=selector, load_prior_s=prior_s)
            self._places[member, tier] = found
        return found


def _stages(arm: Arm, places: Sequence[Place], question: Configure, family: ModelFamily) -> tuple[Stage, ...]:
    guidance = question.request.spec.guidance_scale
    members = {member.name: member for member in family.spec.members}
    stages: list[Stage] = []
    for index, (part, place) in enumerate(zip(arm.parts, places, strict=True)):
        stage = Stage(
            index=index,
            member=part.member,
            tier=place.tier,
            pool=place.pool,
            worker=place.worker,
            steps=part.steps,
            sigma_from=stages[-1].sigma_to if stages else None,
            sigma_to=part.until_sigma or 0.0,
            guidance=members[part.member].default_guidance if guidance is None else guidance,
        )
        stages.append(stage)
    return tuple(stages)
