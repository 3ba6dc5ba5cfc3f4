"""From scores to rows: pure, so that what a figure means can be tested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, median

import numpy as np

from benchmarks._rows import Row, row
from benchmarks.scheduling import statistics
from benchmarks.scheduling.closedloop import Load, Result
from benchmarks.scheduling.contest import Score
from benchmarks.scheduling.entrants import FORMULA, INVERTED, NO_PRIOR, OURS, PAPER, PRICED
from benchmarks.scheduling.offpolicy import Estimates
from benchmarks.scheduling.speed import Speed

PUBLISHED_US = 22.5
"""ParetoBandit's route call, p50, K = 3, d = 26 (arXiv 2604.00136); on another machine, so a measure and no rival."""
HEADLINE = Load(1.6, 1.0)
NEVER_GOOD = float("inf")

Scores = Mapping[str, Sequence[Score]]


def replay_rows(kind: str, scores: Scores) -> Iterator[Row]:
    """The figures of one world: goals first, then each policy's mean regret with its interval, and its phases."""
    suffix = "" if kind == "synthetic" else f"_{kind}"
    for name, other, most in (("linucb", PAPER, 0.12), ("analytic", FORMULA, 0.5)):
        yield _ratio(f"regret_vs_{name}{suffix}", scores[OURS], scores[other], most)
    yield _ratio(f"inverted_vs_linucb{suffix}", scores[INVERTED], scores[PAPER], 0.3)
    for name, entrant, most_jobs in (("prior", OURS, 50), ("no_prior", NO_PRIOR, 200)):
        jobs = _jobs_until(scores[entrant], scores["random"])
        yield row(
            f"jobs_to_10_percent_{name}{suffix}", jobs, None, "jobs", len(scores[OURS]), f"<= {most_jobs}",
            met=jobs <= most_jobs,
        )  # fmt: skip
    for name, found in scores.items():
        yield _regret(f"regret_{kind}_{name}", [score.regret for score in found])
    for phase in scores[OURS][0].phases:
        yield row(
            f"regret_{kind}_{phase}_phase",
            fmean(score.phases[phase] for score in scores[OURS]),
            fmean(score.phases[phase] for score in scores[FORMULA]),
            "utility",
            len(scores[OURS]),
            "–",
        )


def named_rows(prefix: str, scores: Scores) -> Iterator[Row]:
    """A mean regret of each, for ablations and the table of sensitivity; theirs is the default policy's."""
    ours = [score.regret for score in scores[OURS]]
    for name, found in scores.items():
        yield _regret(f"{prefix}_{name}", [score.regret for score in found], ours)


def loop_rows(results: Mapping[tuple[Load, str], Sequence[Result]]) -> Iterator[Row]:
    """The goals at the headline load, then utility, tail and misses of each policy at each load."""
    head = {name: found for (load, name), found in results.items() if same_load(load, HEADLINE)}
    if head:
        ours, theirs = (fmean(item.p95_s for item in head[name]) for name in (PRICED, PAPER))
        over = 100.0 * fmean(item.over for item in head[PRICED])
        count = len(head[PRICED])
        yield row("loop_p95_vs_linucb", ours, theirs, "s", count, "<= 0.25", met=ours <= 0.25 * theirs)
        yield row("loop_over_10s", over, None, "% of jobs", count, "<= 0.5", met=over <= 0.5)
    for (load, name), found in results.items():
        prefix = f"loop_{load.rate:g}_cv{load.cv:g}_{name}"
        utility = statistics.mean([item.utility for item in found])
        yield row(f"{prefix}_utility", utility.value, None, "utility", len(found), _bounds(utility))
        for figure, unit, values in (
            ("p50", "s", [item.p50_s for item in found]),
            ("p95", "s", [item.p95_s for item in found]),
            ("p99", "s", [item.p99_s for item in found]),
            ("over_10s", "% of jobs", [100.0 * item.over for item in found]),
        ):
            yield row(f"{prefix}_{figure}", fmean(values), None, unit, len(found), "–")


def offpolicy_rows(found: Sequence[Estimates]) -> Iterator[Row]:
    """The mean absolute error of each estimate."""
    for name, values in (
        ("offpolicy_error", [item.switch - item.truth for item in found]),
        ("offpolicy_error_dr", [item.dr - item.truth for item in found]),
        ("offpolicy_error_snips", [item.snips - item.truth for item in found]),
        ("offpolicy_error_ips", [item.ips - item.truth for item in found]),
    ):
        error = fmean(abs(value) for value in values)
        met = error <= 0.005 if name == "offpolicy_error" else None
        yield row(name, error, fmean(item.truth for item in found), "utility", len(found), "<= 0.005", met=met)


def speed_rows(many: Speed, three: Speed, paper: Speed) -> Iterator[Row]:
    """A decision among all arms, the same among three, and the paper-like policy's among all."""
    yield row("decision_us_p50", many.p50, paper.p50, "us", many.n, "<= 100", met=many.p50 <= 100)
    yield row("decision_us_p99", many.p99, paper.p99, "us", many.n, "<= 500", met=many.p99 <= 500)
    yield row("decision_us_p50_three_arms", three.p50, PUBLISHED_US, "us", three.n, "beside ParetoBandit's, published")


def same_load(one: Load, other: Load) -> bool:
    """Whether jobs come alike, however many there are."""
    return (one.rate, one.cv) == (other.rate, other.cv)


def _ratio(name: str, ours: Sequence[Score], theirs: Sequence[Score], most: float) -> Row:
    a, b = [score.regret for score in ours], [score.regret for score in theirs]
    found = statistics.ratio(a, b)
    return row(name, fmean(a), fmean(b), "utility", len(a), f"<= {most:g}; {_bounds(found)}", met=found.value <= most)


def _regret(name: str, values: Sequence[float], theirs: Sequence[float] | None = None) -> Row:
    found = statistics.mean(values)
    other = None if theirs is None else fmean(theirs)
    return row(name, found.value, other, "utility", len(values), _bounds(found))


def _bounds(of: statistics.Interval) -> str:
    return f"95 %: {of.low:.4g} to {of.high:.4g}"


def _jobs_until(scores: Sequence[Score], random: Sequence[Score]) -> float:
    """The median over seeds; never is more than any."""
    found = [
        statistics.jobs_until(score.calm, other.calm, 0.1) or NEVER_GOOD
        for score, other in zip(scores, random, strict=True)
    ]
    middle = float(median(found))
    return middle if np.isfinite(middle) else float(len(scores[0].calm))
