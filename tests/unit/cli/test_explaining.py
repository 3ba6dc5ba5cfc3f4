"""Why a job got its arm, in words and rows."""

from __future__ import annotations

import pytest

from rise_cli import explaining
from rise_contracts.decisions import Candidate
from rise_contracts.messages import Predictions
from tests.unit.cli.decisions import ARM, candidate, outcome, record

BETTER, WORSE = candidate("large:24", 0.9), candidate("small:20", 0.2)
MASKED = candidate("small:10", None, masked="no device worker is ready")


@pytest.mark.parametrize(
    ("candidates", "policy", "propensity", "told"),
    [
        ((candidate(), WORSE, MASKED), "composed", 1.0, "the highest score: 0.500 against 0.200 of small:20"),
        ((candidate(), BETTER), "linucb", 0.01, "drawn, to learn more of arms that are about as good: 0.500 against"),
        ((candidate(), BETTER), "composed", 0.99, "the highest score of those that may be tried: 0.500 against 0.900"),
        ((candidate(), MASKED), "composed", 1.0, "no other arm can run"),
        ((candidate(score=None),), "fixed", 1.0, "fixed ranks nothing: it goes by the preference, 0.5"),
        ((candidate(score=None),), "job", 1.0, "the job names its own stages"),
    ],
)
def test_the_reason_is_one_sentence(
    candidates: tuple[Candidate, ...], policy: str, propensity: float, told: str
) -> None:
    assert explaining.why(record(*candidates, policy=policy, propensity=propensity)).startswith(told)


def test_a_row_shows_what_a_score_is_made_of() -> None:
    cells = dict(zip(explaining.RANKED, explaining.row(candidate(), ARM), strict=True))
    assert cells == {
        "": "→",
        "ARM": ARM,
        "LATENCY": "1.20 s",
        "LOADING": "",
        "STAGES": "600 ms + 120 ms",
        "EDGE": "600 ms",
        "QUALITY": "0.80",
        "MEAN": "0.400",
        "BONUS": "0.150",
        "PRICE": "0.050",
        "SCORE": "0.500",
        "LEFT OUT BECAUSE": "",
    }
    assert float(cells["MEAN"]) + float(cells["BONUS"]) - float(cells["PRICE"]) == pytest.approx(float(cells["SCORE"]))


def test_an_arm_that_cannot_run_says_why_and_nothing_else() -> None:
    bare = Candidate(arm="small:10", kind="device-only", masked="no device worker is ready")
    assert explaining.row(bare, ARM) == ("", "small:10", *[""] * 9, "no device worker is ready")


def test_the_best_come_first_and_what_cannot_run_last() -> None:
    unscored = candidate("small:5", None)
    ranked = explaining.ranked((MASKED, unscored, WORSE, BETTER, candidate()))
    assert [item.arm for item in ranked] == ["large:24", ARM, "small:20", "small:5", "small:10"]


def test_an_outcome_stands_beside_its_predictions() -> None:
    told = dict(explaining.lines(record(outcome=outcome(quality=0.9))))
    assert told["outcome"] == "1.45 s in all (1.20 s predicted), edge 600 ms (600 ms predicted), stages 700 ms + 130 ms"
    assert told["quality"] == "0.90 by whoever judged it, 0.80 predicted"
    assert dict(explaining.lines(record(outcome=outcome())))["quality"] == "nobody has judged it; 0.80 predicted"
    assert dict(explaining.lines(record(outcome=outcome(failed=True))))["outcome"] == "it failed after 1.45 s"


def test_loading_is_told_where_there_was_any() -> None:
    cold = candidate(predictions=Predictions(latency_s=4.2, load_s=3.0))
    assert dict(zip(explaining.RANKED, explaining.row(cold, ARM), strict=True))["LOADING"] == "3.00 s"
    told = dict(explaining.lines(record(outcome=outcome(load_seconds=(0.0, 2.0)))))
    assert told["outcome"].startswith("1.45 s in all (1.20 s predicted), 2.00 s of it loading (0 ms predicted), edge")
    hardly = dict(explaining.lines(record(outcome=outcome(load_seconds=(0.001, 0.002)))))
    assert "loading" not in hardly["outcome"]


def test_before_the_job_has_ended_there_is_no_word_of_an_outcome() -> None:
    assert [label for label, _ in explaining.lines(record())] == ["decision", "why", "context"]
