"""Relays as people type them: an arm's full name, or the short form without steps, and the arms of a comparison.

large:6@1.2+finisher:6     full: steps are given
large@1.2+small            short: steps come from the family
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence

from rise_contracts import configuration, errors, resources
from rise_contracts.configuration import ArmStage

_TOP, _BOTTOM = math.log(14.6), math.log(0.03)  # the scaled-linear schedule of SD and SDXL
TOPS = {"sd": 14.62, "sdxl": 14.62, "pixart": 157.5}
"""The noise level at which the usual schedule of an architecture begins; a handoff above it is a slip of the finger.
The architectures that are not named are trained on flow matching, which begins at pure noise."""
_PART = re.compile(r"(?P<member>[a-z0-9][a-z0-9-]*)(?::(?P<steps>\d+))?(?:@(?P<sigma>[^:@+]+))?")


def parse_fixed(text: str, family: resources.ModelFamily, steps: int | None = None) -> tuple[ArmStage, ...]:
    """The stages that `--fixed` names, checked against the family.

    `steps` is the total for the short form. Raises InvalidInput, or UnknownName for a member.
    """
    parts = [_PART.fullmatch(part.strip()) for part in text.strip().split("+")]
    if any(part is None for part in parts):
        raise errors.InvalidInput("--fixed", "member[:steps][@sigma] joined by +", text, "for example large@1.2+small")
    matches = [part for part in parts if part is not None]
    for match in matches:
        known_member(match["member"], family, "--fixed")
    given = [match["steps"] for match in matches]
    if steps is not None and any(given):
        raise errors.InvalidInput("--steps", "steps in one place", steps, f"--fixed {text} has its own; drop one")
    if not all(given):
        if any(given):
            raise errors.InvalidInput("--fixed", "steps on every stage, or on none", text)
        counts = default_steps([m["member"] for m in matches], [_number(m["sigma"]) for m in matches], family)
        counts = share(counts, steps) if steps is not None else counts
        given = [str(count) for count in counts]
    full = "+".join(
        f"{match['member']}:{count}" + (f"@{match['sigma']}" if match["sigma"] else "")
        for match, count in zip(matches, given, strict=True)
    )
    try:
        stages = configuration.parse_arm(full)
    except errors.InvalidInput as error:
        raise errors.InvalidInput("--fixed", error.wanted, text, error.hint) from error
    check_stages(stages, family)
    return stages


def default_steps(members: Sequence[str], handoffs: Sequence[float | None], family: resources.ModelFamily) -> list[int]:
    """The family's steps for these members: those of its own relay with the nearest handoff, else of each member's
    default steps the part that its stretch of the schedule is, by log-sigma."""
    alike = [relay for relay in family.spec.relays if [stage.member for stage in relay.stages] == list(members)]
    first = handoffs[0]
    if alike and first:
        near = min(alike, key=lambda relay: _distance(relay.stages[0].until_sigma, first))
        return [stage.steps for stage in near.stages]
    edges = [_TOP, *(math.log(sigma) if sigma else _BOTTOM for sigma in handoffs)]
    parts = [(high - low) / (_TOP - _BOTTOM) for high, low in itertools.pairwise(edges)]
    found = [known_member(member, family, "--fixed") for member in members]
    return [max(1, math.ceil(member.default_steps * part)) for member, part in zip(found, parts, strict=True)]


def share(counts: Sequence[int], total: int) -> list[int]:
    """Split `total` steps in the proportion of `counts`, each stage getting one at least."""
    if total < len(counts):
        raise errors.InvalidInput("--steps", f"at least {len(counts)}, one per stage", total)
    shares = [max(1, int(total * count / sum(counts))) for count in counts]
    shares[-1] += total - sum(shares)
    while shares[-1] < 1:
        shares[shares.index(max(shares))] -= 1
        shares[-1] += 1
    return shares


def known_member(name: str, family: resources.ModelFamily, field: str) -> resources.Member:
    found = family.member(name)
    if found is None:
        raise errors.UnknownName("member", name, [member.name for member in family.spec.members], field)
    return found


def check_stages(stages: Sequence[ArmStage], family: resources.ModelFamily, field: str = "--fixed") -> None:
    """Raise InvalidInput where a stage would end above the start of the schedule, or a member start above the noise
    level it was trained for."""
    top, start = TOPS.get(family.spec.architecture, math.inf), None
    for stage in stages:
        member = known_member(stage.member, family, field)
        if stage.until_sigma is not None and stage.until_sigma >= top:
            wanted = f"a handoff below sigma {top:g}, where the noise begins"
            raise errors.InvalidInput(field, wanted, stage.until_sigma, _usual(family))
        if member.sigma_max is not None and (start is None or start > member.sigma_max):
            raise errors.InvalidInput(
                field,
                f"{stage.member} from sigma {member.sigma_max:g} at most",
                "the start of the schedule" if start is None else start,
                f"{stage.member} only finishes; put another member before it, with a handoff it can take",
            )
        start = stage.until_sigma


def _usual(family: resources.ModelFamily) -> str:
    return f"usual ones: {', '.join(f'{sigma:g}' for sigma in family.spec.handoffs)}" if family.spec.handoffs else ""


def to_stage_specs(stages: Sequence[ArmStage]) -> list[dict[str, object]]:
    """The stages as a manifest spells them. No tier is set: a member runs on its own one where that has a worker."""
    specs = []
    for stage in stages:
        spec: dict[str, object] = {"member": stage.member, "steps": stage.steps}
        if stage.until_sigma is not None:
            spec["untilSigma"] = stage.until_sigma
        specs.append(spec)
    return specs


def alone(tier: str, family: resources.ModelFamily) -> str | None:
    """The arm of one member of `tier` doing the whole job at its default steps: the largest that can."""
    able = [m for m in family.spec.members if m.tier == tier and m.sigma_max is None]
    if not able:
        return None
    best = max(able, key=lambda member: member.parameters or 0)
    return f"{best.name}:{best.default_steps}"


def comparison(family: resources.ModelFamily, most: int = 6) -> list[str]:
    """The arms of `--compare`: edge alone, device alone, then up to `most` relays at different handoffs.

    The family's own relays come first; where it has none they are made from its handoffs.
    """
    arms = [arm for arm in (alone("edge", family), alone("device", family)) if arm is not None]
    relays = [_arm_of(relay) for relay in family.spec.relays if len(relay.stages) > 1] or _made_up(family)
    spread = relays if len(relays) <= most else [relays[round(i * (len(relays) - 1) / (most - 1))] for i in range(most)]
    return list(dict.fromkeys([*arms, *spread]))


def warm_up(chosen: Sequence[str]) -> list[str]:
    """The shortest arms that bring every member of `chosen` to work once, in the roles they have there."""
    shortest: dict[tuple[str, ...], str] = {}
    for arm in chosen:
        stages = [stage._replace(steps=1) for stage in configuration.parse_arm(arm)]
        shortest.setdefault(tuple(stage.member for stage in stages), configuration.format_arm(stages))
    return list(shortest.values())


def describe(arm: str) -> str:
    """An arm in a person's words: "large alone, 20 steps" or "large 6 steps, then finisher 6 below sigma 1.2", and the
    dtype on the wire where the arm has its own."""
    stages = configuration.parse_arm(arm)
    if len(stages) == 1:
        return f"{stages[0].member} alone, {plural(stages[0].steps, 'step')}"
    text = f"{stages[0].member} {plural(stages[0].steps, 'step')}"
    for before, stage in itertools.pairwise(stages):
        text += f", then {stage.member} {stage.steps} below sigma {before.until_sigma:g}"
    wire = configuration.wire_of(arm)
    return text + (f", {wire} on the wire" if wire else "")


def brief(arm: str) -> str:
    """The same in half the room: "large 6 + finisher 6 at sigma 1.2"."""
    stages = configuration.parse_arm(arm)
    if len(stages) == 1:
        return f"{stages[0].member}, {plural(stages[0].steps, 'step')}"
    sigmas = ", ".join(f"{stage.until_sigma:g}" for stage in stages[:-1])
    wire = configuration.wire_of(arm)
    text = f"{' + '.join(f'{stage.member} {stage.steps}' for stage in stages)} at sigma {sigmas}"
    return text + (f" in {wire}" if wire else "")


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _arm_of(relay: resources.NamedRelay) -> str:
    return configuration.format_arm(ArmStage(s.member, s.steps, s.until_sigma) for s in relay.stages)


def _made_up(family: resources.ModelFamily) -> list[str]:
    edge, device = alone("edge", family), [m for m in family.spec.members if m.tier == "device"]
    if edge is None or not device:
        return []
    head, made = edge.split(":")[0], []
    for sigma in sorted(family.spec.handoffs, reverse=True):
        # A finisher was made for this; where the handoff is above what it takes, another device member may do.
        takers = [m for m in device if m.sigma_max is None or m.sigma_max >= sigma]
        tail = next((m for m in takers if m.sigma_max is not None), takers[0] if takers else None)
        if sigma > 0 and tail is not None:
            counts = default_steps([head, tail.name], [sigma, None], family)
            made.append(
                configuration.format_arm([ArmStage(head, counts[0], sigma), ArmStage(tail.name, counts[1], None)])
            )
    return made


def _distance(sigma: float | None, handoff: float) -> float:
    return abs(math.log(sigma / handoff)) if sigma else math.inf


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else 0.0
    except ValueError:
        return None  # parse_arm says what is wrong with it
    return value if value > 0 else None
