"""Why a job got its arm: what was weighed, how it was ranked, and what came of it. Words and rows; nothing is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rise_cli import view
from rise_contracts.decisions import Candidate, DecisionRecord

EXPECTED = ("", "ARM", "LATENCY", "LOADING", "STAGES", "EDGE", "QUALITY")
RANKED = (*EXPECTED, "MEAN", "BONUS", "PRICE", "SCORE", "LEFT OUT BECAUSE")
"""The columns of `row`."""
WORTH_TELLING_S = 0.1
"""Every stage looks for its member, which takes less."""


def lines(note: DecisionRecord) -> Iterator[tuple[str, str]]:
    """Label and text: the decision, its reason, its context, its outcome."""
    decision = note.decision
    yield "decision", f"by {decision.policy}, propensity {decision.propensity:.2f}"
    yield "why", why(note)
    context = ", ".join(f"{name} {value:.3g}" for name, value in decision.context.items())
    yield "context", context or "none"
    if note.outcome is not None:
        yield "outcome", _outcome(note)
        yield "quality", _quality(note)


def why(note: DecisionRecord) -> str:
    """The reason in one sentence."""
    if note.decision.policy == "job":
        return "the job names its own stages"
    scored = [(item.score, item) for item in note.candidates if item.score is not None]
    chosen = next((item for item in note.candidates if item.arm == note.decision.arm), None)
    if chosen is None or chosen.score is None:
        return f"{note.decision.policy} ranks nothing: it goes by the preference, {note.preference:g}"
    others = [(score, item) for score, item in scored if item is not chosen]
    if not others:
        return "no other arm can run"
    score, other = max(others, key=lambda pair: pair[0])
    against = f"{chosen.score:.3f} against {score:.3f} of {other.arm}"
    if chosen.score >= score:
        return f"the highest score: {against}"
    if note.decision.propensity < 0.5:
        return f"drawn, to learn more of arms that are about as good: {against}"
    return f"the highest score of those that may be tried: {against}, which is believed worse, or too late"


def ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The best score first, then what has none, then what was left out."""
    return sorted(candidates, key=lambda item: (bool(item.masked), item.score is None, -(item.score or 0.0)))


def row(candidate: Candidate, chosen: str) -> tuple[str, ...]:
    """One candidate, as `RANKED` names it."""
    expected = candidate.predictions
    return (
        "→" if candidate.arm == chosen else "",
        candidate.arm,
        seconds(expected.latency_s),
        seconds(expected.load_s or None),
        " + ".join(view.seconds(value) for value in expected.stage_seconds),
        seconds(expected.edge_s),
        number(expected.quality, 2),
        number(candidate.mean),
        number(candidate.bonus),
        number(candidate.price),
        number(candidate.score),
        candidate.masked,
    )


def seconds(value: float | None) -> str:
    """A duration, or nothing."""
    return "" if value is None else view.seconds(value)


def number(value: float | None, places: int = 3) -> str:
    """A number, or nothing."""
    return "" if value is None else f"{value:.{places}f}"


def _outcome(note: DecisionRecord) -> str:
    told, expected = note.outcome, note.decision.predictions
    assert told is not None
    if told.failed:
        return f"it failed after {view.seconds(told.latency_s)}"
    text = f"{view.seconds(told.latency_s)} in all{_expected(expected.latency_s)}"
    if max(loading := sum(told.load_seconds), expected.load_s) >= WORTH_TELLING_S:
        text += f", {view.seconds(loading)} of it loading{_expected(expected.load_s)}"
    text += f", edge {view.seconds(told.edge_s)}{_expected(expected.edge_s)}"
    if told.stage_seconds:
        text += f", stages {' + '.join(view.seconds(value) for value in told.stage_seconds)}"
    return text


def _quality(note: DecisionRecord) -> str:
    if note.outcome is not None and note.outcome.quality is not None:
        by = note.outcome.judged_by or "whoever judged it"
        return f"{note.outcome.quality:.2f} by {by}, {_predicted(note):.2f} predicted"
    return f"nobody has judged it; {_predicted(note):.2f} predicted"


def _predicted(note: DecisionRecord) -> float:
    quality = note.decision.predictions.quality
    return note.expected_quality if quality is None else quality


def _expected(value: float | None) -> str:
    return "" if value is None else f" ({view.seconds(value)} predicted)"
