"""What the composed policy has learned of one family, and how an outcome is added. Pure; idempotent per decision.

Latency: one ridge over how much longer stages and waits take than by formula (``seconds``); by ``rest/kind`` what is
left, as a share of the reference latency. Quality: one ridge over the features of arm and prompt, of what the measured
quality is above the one that sizes and steps let expect. By ``failed/arm``, whether jobs end without a picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rise_scheduler.composed.change import Drift, noise_variance, watched
from rise_scheduler.composed.evidence import Level, Ridge, faded
from rise_scheduler.composed.prior import QUALITY_PRIOR, Prior, solved
from rise_scheduler.composed.seconds import PRIOR as SECONDS_PRIOR
from rise_scheduler.composed.seconds import told_by

SETTLED_KEPT, LEVELS_KEPT = 256, 256
"""Jobs may name arms of their own, so levels are as many as these at most: those longest untouched go first."""
PRIOR, BELIEVED = "prior", 2.0
"""The level of how much better the prior foretells than nothing does, and the logarithm of its odds before any news."""
DISPROVED, OUT = -4.0, -1e9
"""A prior whose odds have come to exp(DISPROVED) is out for good: told of choices made without it, it looks right again
now and then, and a wrong one that is believed anew costs more than a right one that is lost."""
NOTHING = Ridge()


@dataclass(frozen=True, slots=True)
class Learning:
    """How to learn. Memories are in outcomes.

    ``prior`` and ``seconds_prior`` are what is believed of quality and of latency before any outcome (``priors`` by
    family, where one has its own), ``rest_sd`` the deviation of what no formula explains, in reference latencies.
    ``drift_slack`` and ``drift_alarm`` are CUSUM's k and h, in deviations; ``drift_keep`` is what of the evidence on a
    member is kept when its quality has changed.
    """

    prior: Prior = QUALITY_PRIOR
    priors: Mapping[str, Prior] = field(default_factory=dict)
    seconds_prior: Prior = SECONDS_PRIOR
    latency_memory: float = 60.0
    rest_sd: float = 0.1
    quality_memory: float = 2000.0
    failure_memory: float = 200.0
    drift_slack: float = 0.5
    drift_alarm: float = 6.0
    drift_keep: float = 0.02

    def of(self, family: str) -> Learning:
        """How to learn of one family."""
        own = self.priors.get(family)
        return self if own is None else replace(self, prior=own, priors={})

    def memory(self, level: str) -> float:
        """How long a level remembers, by its name."""
        return {"failed": self.failure_memory, PRIOR: self.quality_memory}.get(
            level.partition("/")[0], self.latency_memory
        )


@dataclass(frozen=True, slots=True)
class Observation:
    """What came of one decision. ``clock`` is the knowledge's at the decision; ``keys`` name the stages (pool/member),
    ``predicted`` their seconds by formula; ``seconds`` are the measured ones, empty where only the whole is known.
    ``reference_s`` is the latency that counts as 1, of the whole job. ``quality`` None: not judged, or not yet.
    ``settled`` is what the log of decisions says of an earlier report: None for none, else whether its quality counted.
    """

    decision_id: str
    clock: int
    arm: str
    kind: str
    members: tuple[str, ...]
    pool: str
    features: Mapping[str, float]
    base_quality: float
    reference_s: float
    keys: tuple[str, ...]
    predicted: tuple[float | None, ...]
    waits: tuple[float, ...]
    moves: tuple[float, ...]
    latency_s: float
    seconds: tuple[float, ...] = ()
    wait_s: float | None = None
    quality: float | None = None
    failed: bool = False
    settled: bool | None = None


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Knowledge:
    """All of it. ``clock`` counts the outcomes; ``noise`` holds the squares of what judged qualities were off;
    ``settled`` says of the last decisions whether their quality counted."""

    clock: int = 0
    quality: Ridge = field(default_factory=Ridge)
    seconds: Ridge = field(default_factory=Ridge)
    levels: Mapping[str, Level] = field(default_factory=dict)
    drifts: Mapping[str, Drift] = field(default_factory=dict)
    noise: Level = field(default_factory=Level)
    settled: Mapping[str, bool] = field(default_factory=dict)

    def trust(self, how: Learning) -> float:
        """How far the prior's offline sums are to be trusted, 0..1 in steps (so that few solutions are made): the
        probability that they foretell qualities better than sizes and steps alone do, as the judged pictures say."""
        return round(1.0 / (1.0 + math.exp(min(-_odds(self.level(PRIOR, how), self.noise), 50.0))), 1)

    def level(self, name: str, how: Learning) -> Level:
        """A level as of now."""
        return self.levels.get(name, Level(clock=self.clock)).at(self.clock, how.memory(name))


def learned(known: Knowledge, seen: Observation, how: Learning) -> Knowledge:
    """``known`` with one outcome more. What was added before is not added again: a second report of a decision adds
    its quality, where that had been missing, and nothing else."""
    before = known.settled.get(seen.decision_id, seen.settled)
    if before or (before is False and (seen.quality is None or seen.failed)):
        return known
    if before is None:
        known = _timed(replace(known, clock=known.clock + 1), seen, how)
    judged = seen.quality is not None and not seen.failed
    if judged:
        known = _judged(known, seen, how)
    return replace(known, settled=_noted(known.settled, seen.decision_id, judged or seen.failed))


def _timed(known: Knowledge, seen: Observation, how: Learning) -> Knowledge:
    age = known.clock - seen.clock
    told, rest = told_by(seen)
    ridge = known.seconds
    if told:
        ridge, weight = ridge.at(known.clock, how.latency_memory), faded(age, how.latency_memory)
        for x, value, share in told:
            ridge = ridge.plus(x, value, share * weight)
    numbers = {f"failed/{seen.arm}": float(seen.failed)} | ({} if rest is None else {f"rest/{seen.kind}": rest})
    levels = dict(known.levels)
    for name, value in numbers.items():
        levels[name] = known.level(name, how).plus(value, faded(age, how.memory(name)))
    for old in sorted(levels, key=lambda name: levels[name].clock)[: max(len(levels) - LEVELS_KEPT, 0)]:
        del levels[old]
    return replace(known, seconds=ridge, levels=levels)


def _judged(known: Knowledge, seen: Observation, how: Learning) -> Knowledge:
    assert seen.quality is not None
    above = seen.quality - seen.base_quality
    model = solved(known.quality, known.quality.names, how.prior, known.trust(how))
    expected = _possible(model.mean_of(seen.features), seen)
    ridge = known.quality.at(known.clock, how.quality_memory)
    ridge = ridge.plus(seen.features, above, faded(known.clock - seen.clock, how.quality_memory))
    noise = known.noise.at(known.clock, how.quality_memory).plus((above - expected) ** 2, 1.0)
    drifts, changed = watched(known.drifts, seen.members, above - expected, noise, how)
    for member in changed:
        ridge = widened(ridge, member, how, known.trust(how))
    levels = dict(known.levels)
    if how.prior.offline.names:
        foretold = _possible(solved(NOTHING, how.prior.offline.names, how.prior).mean_of(seen.features), seen)
        weight = faded(known.clock - seen.clock, how.quality_memory)
        told = known.level(PRIOR, how).plus(above**2 - (above - foretold) ** 2, weight)
        levels[PRIOR] = replace(told, total=OUT) if _odds(told, noise) < DISPROVED else told
    return replace(known, quality=ridge, drifts=drifts, noise=noise, levels=levels)


def _possible(above: float, seen: Observation) -> float:
    """What a model expects of a quality above the base, within what a quality can be."""
    return min(max(above, -seen.base_quality), 1.0 - seen.base_quality)


def _odds(told: Level, noise: Level) -> float:
    """The logarithm of those that the prior foretells better than nothing does."""
    return BELIEVED + told.total / (2.0 * noise_variance(noise))


def widened(ridge: Ridge, member: str, how: Learning, trust: float = 1.0) -> Ridge:
    """The evidence on how good ``member`` is gets cut to ``drift_keep``; what was believed stays believed, with less
    certainty. S becomes D S D, which is still positive semi-definite, and b what gives the same solution."""
    prior = how.prior.sums(ridge.names, trust)
    theta = solved(ridge, ridge.names, how.prior, trust).theta
    scale = [how.drift_keep**0.5 if names_member(name, member) else 1.0 for name in ridge.names]
    xtx = ridge.xtx * scale * [[value] for value in scale]
    return replace(ridge, xtx=xtx, rx=(prior.xtx + xtx) @ theta - prior.rx)


def names_member(feature: str, member: str) -> bool:
    """Whether a feature says that ``member`` takes part and nothing else: what changes is how good the member is, not
    how its steps, prompts and arms compare."""
    kind, _, name = feature.partition("=")
    return kind in ("head", "tail", "between") and name == member


def _noted(settled: Mapping[str, bool], decision_id: str, final: bool) -> dict[str, bool]:
    notes = {key: value for key, value in settled.items() if key != decision_id}
    notes[decision_id] = final
    for old in list(notes)[: max(len(notes) - SETTLED_KEPT, 0)]:
        del notes[old]
    return notes
