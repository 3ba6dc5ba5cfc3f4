"""What the composed policy has learned of one family, and how an outcome is added. Pure; idempotent per decision.

Latency: by ``pool/member`` the logarithm of a stage's measured over its predicted seconds; by ``wait/pool`` the same of
the wait before the head; by ``rest/kind`` what is left, as a share of the reference latency. Quality: one ridge over
the features of arm and prompt, of what the measured quality is above the one that sizes and steps let expect. By
``failed/arm``, whether jobs end without a picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rise_scheduler.composed.change import Drift, watched
from rise_scheduler.composed.evidence import Level, Ridge, faded
from rise_scheduler.composed.prior import Prior, solved

SETTLED_KEPT = 256
WAIT_FLOOR = 0.05
"""Waits are compared in logarithms with this share of the reference latency added: a wait of nothing is no news."""
LOG_CUT = 2.0
"""No measured latency counts as more than e^2 times the predicted, or less than e^-2."""


@dataclass(frozen=True, slots=True)
class Learning:
    """How to learn. Memories are in outcomes; deviations are of a logarithm (latency) or of quality 0..1.

    ``prior`` is what is believed of quality before any outcome. ``drift_slack`` and ``drift_alarm`` are CUSUM's k and
    h, in deviations; ``drift_keep`` is what of the evidence on a member is kept when its quality has changed.
    """

    prior: Prior = field(default_factory=Prior)
    latency_memory: float = 60.0
    latency_prior_sd: float = 0.3
    latency_noise_sd: float = 0.25
    quality_memory: float = 1000.0
    failure_memory: float = 200.0
    drift_slack: float = 0.5
    drift_alarm: float = 6.0
    drift_keep: float = 0.1

    def memory(self, level: str) -> float:
        """How long a level remembers, by its name."""
        return self.failure_memory if level.startswith("failed/") else self.latency_memory


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
    levels: Mapping[str, Level] = field(default_factory=dict)
    drifts: Mapping[str, Drift] = field(default_factory=dict)
    noise: Level = field(default_factory=Level)
    settled: Mapping[str, bool] = field(default_factory=dict)

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
        known = replace(known, clock=known.clock + 1)
        known = replace(known, levels=_levels(known, seen, how))
    judged = seen.quality is not None and not seen.failed
    if judged:
        known = _judged(known, seen, how)
    return replace(known, settled=_noted(known.settled, seen.decision_id, judged or seen.failed))


def _levels(known: Knowledge, seen: Observation, how: Learning) -> dict[str, Level]:
    levels = dict(known.levels)
    age = known.clock - seen.clock

    told = [(f"failed/{seen.arm}", float(seen.failed), 1.0), *_slownesses(seen)]
    for name, value, weight in told:
        level = levels.get(name, Level(clock=known.clock)).at(known.clock, how.memory(name))
        levels[name] = level.plus(value, weight * faded(age, how.memory(name)))
    return levels


def _slownesses(seen: Observation) -> list[tuple[str, float, float]]:
    """Each level that this outcome tells something of: its name, the value and its weight."""
    predicted = [seconds for seconds in seen.predicted if seconds is not None]
    if len(predicted) != len(seen.predicted) or not all(seconds > 0 for seconds in predicted):
        return []
    whole = sum(predicted) + sum(seen.waits) + sum(seen.moves)
    ratio = _log_ratio(seen.latency_s, whole)
    if seen.failed:
        # It took at least so long: news only where that is more than was expected.
        return [(key, ratio, 1.0 / len(seen.keys)) for key in seen.keys] if ratio > 0 else []
    if len(seen.seconds) != len(predicted):
        shares = [seconds / whole for seconds in predicted]
        return [(key, ratio, share) for key, share in zip(seen.keys, shares, strict=True)]
    found = [
        (key, _log_ratio(real, seconds), 1.0)
        for key, real, seconds in zip(seen.keys, seen.seconds, predicted, strict=True)
    ]
    floor = WAIT_FLOOR * seen.reference_s
    waited = seen.wait_s if seen.wait_s is not None else seen.waits[0]
    found.append((f"wait/{seen.pool}", _log_ratio(waited + floor, seen.waits[0] + floor), 1.0))
    rest = seen.latency_s - waited - sum(seen.seconds) - sum(seen.moves) - sum(seen.waits[1:])
    found.append((f"rest/{seen.kind}", min(max(rest / seen.reference_s, -1.0), 1.0), 1.0))
    return found


def _log_ratio(real: float, predicted: float) -> float:
    return min(max(math.log(max(real, 1e-9) / max(predicted, 1e-9)), -LOG_CUT), LOG_CUT)


def _judged(known: Knowledge, seen: Observation, how: Learning) -> Knowledge:
    assert seen.quality is not None
    above = seen.quality - seen.base_quality
    expected = solved(known.quality, known.quality.names, how.prior).mean_of(seen.features)
    ridge = known.quality.at(known.clock, how.quality_memory)
    ridge = ridge.plus(seen.features, above, faded(known.clock - seen.clock, how.quality_memory))
    noise = known.noise.at(known.clock, how.quality_memory).plus((above - expected) ** 2, 1.0)
    drifts, changed = watched(known.drifts, seen.members, above - expected, noise, how)
    for member in changed:
        ridge = widened(ridge, member, how)
    return replace(known, quality=ridge, drifts=drifts, noise=noise)


def widened(ridge: Ridge, member: str, how: Learning) -> Ridge:
    """The evidence on everything that names ``member`` is cut to ``drift_keep``; what was believed stays believed, with
    less certainty. S becomes D S D, which is still positive semi-definite, and b what gives the same solution."""
    prior = how.prior.sums(ridge.names)
    theta = solved(ridge, ridge.names, how.prior).theta
    scale = [how.drift_keep**0.5 if names_member(name, member) else 1.0 for name in ridge.names]
    xtx = ridge.xtx * scale * [[value] for value in scale]
    return replace(ridge, xtx=xtx, rx=(prior.xtx + xtx) @ theta - prior.rx)


def names_member(feature: str, member: str) -> bool:
    """Whether a feature is one of ``member``, or of an arm that it takes part in."""
    kind, _, rest = feature.partition("=")
    if kind == "arm":
        return any(part.partition(":")[0] == member for part in rest.split("+"))
    return feature.replace("=", ":").partition("*")[0].partition(":")[2] == member


def _noted(settled: Mapping[str, bool], decision_id: str, final: bool) -> dict[str, bool]:
    notes = {key: value for key, value in settled.items() if key != decision_id}
    notes[decision_id] = final
    for old in list(notes)[: max(len(notes) - SETTLED_KEPT, 0)]:
        del notes[old]
    return notes
