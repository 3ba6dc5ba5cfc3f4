"""An arm meets the fleet: it becomes a configuration with its forecast, or is masked with the reason. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rise_contracts.configuration import Configuration, Stage
from rise_contracts.messages import Configure
from rise_contracts.model import Tier
from rise_contracts.resources import ModelFamily
from rise_scheduler.arms import Arm, ArmPart
from rise_scheduler.fleet import Fleet, Place
from rise_scheduler.posterior import Posterior
from rise_scheduler.predict import Forecast, forecast, latent_bytes
from rise_scheduler.quality import expected_quality


@dataclass(frozen=True, slots=True)
class Candidate:
    """An arm that can run now. ``cold`` names a member that no worker at its place holds yet; empty when all are
    loaded. ``keys`` name its stages as pool/member, ``tiers`` where they run.
    """

    arm: Arm
    configuration: Configuration
    forecast: Forecast
    quality: float
    cold: str
    keys: tuple[str, ...]
    tiers: tuple[Tier, ...]

    @property
    def wait_key(self) -> str:
        """The name of the wait before its head."""
        return "wait/" + self.keys[0].partition("/")[0]

    @property
    def rest_key(self) -> str:
        """The name of what its formula leaves out."""
        return "rest/" + self.arm.kind


@dataclass(frozen=True, slots=True)
class Masked:
    """An arm that cannot run now, and why."""

    arm: Arm
    reason: str


def place_arms(
    arms: Sequence[Arm], question: Configure, family: ModelFamily, fleet: Fleet, posterior: Posterior
) -> tuple[list[Candidate], list[Masked]]:
    """Sort ``arms`` into those that can run and those that cannot.

    An arm that would first have to load a member is left out while another needs no loading: a load costs more than
    any choice between arms wins. When nothing is loaded, every arm that has workers may run.
    """
    placed = [_placed(arm, question, family, fleet, posterior) for arm in arms]
    candidates = [item for item in placed if isinstance(item, Candidate)]
    masked = [item for item in placed if isinstance(item, Masked)]
    warm = [item for item in candidates if not item.cold]
    if warm:
        masked += [Masked(item.arm, f"no worker has {item.cold} loaded") for item in candidates if item.cold]
        candidates = warm
    return candidates, masked


def _placed(
    arm: Arm, question: Configure, family: ModelFamily, fleet: Fleet, posterior: Posterior
) -> Candidate | Masked:
    places: list[Place] = []
    for part in arm.parts:
        place = _place(part, question, family, fleet)
        if isinstance(place, str):
            return Masked(arm, place)
        places.append(place)
    spec = question.request.spec
    dtype = spec.relay.wire_dtype or arm.wire_dtype or "fp16"
    configuration = Configuration(
        arm=arm.name,
        stages=_stages(arm, places, question, family),
        solver=spec.relay.solver or arm.solver or family.spec.solver,
        grid=family.spec.grid,
        wire_dtype=dtype,
    )
    predicted = forecast(arm.parts, places, spec.images, latent_bytes(spec, family, dtype))
    cold = next((part.member for part, place in zip(arm.parts, places, strict=True) if not place.loaded), "")
    keys = tuple(f"{place.pool}/{part.member}" for part, place in zip(arm.parts, places, strict=True))
    tiers = tuple(place.tier for place in places)
    return Candidate(arm, configuration, predicted, expected_quality(arm, family, posterior), cold, keys, tiers)


def _place(part: ArmPart, question: Configure, family: ModelFamily, fleet: Fleet) -> Place | str:
    other: Tier = "device" if part.tier == "edge" else "edge"
    first = _place_in(part, part.tier, question, family, fleet)
    if isinstance(first, Place) or not part.movable:
        return first
    second = _place_in(part, other, question, family, fleet)
    return second if isinstance(second, Place) else first


def _place_in(part: ArmPart, tier: Tier, question: Configure, family: ModelFamily, fleet: Fleet) -> Place | str:
    selector = question.request.spec.device_selector if tier == "device" else None
    return fleet.place(tier, family.metadata.name, part.member, avoid=question.avoid, selector=selector)


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
