from __future__ import annotations

import pytest

from rise_contracts.messages import Outcome
from rise_scheduler.composed.observe import observed
from tests.unit.scheduler.builders import decided, fixed, outcome_of, question

RECORD = decided(question(images=2))


def test_an_outcome_is_read_with_what_its_decision_was_based_on() -> None:
    outcome = outcome_of(RECORD, 1.5, stage_seconds=(1.2, 0.24), wait_s=0.05, quality=0.8)
    found = observed(RECORD, outcome)
    assert found is not None
    assert found.keys == ("edge/large", "device/finisher")
    assert found.members == ("large", "finisher")
    assert (found.kind, found.pool) == ("relay", "edge")
    assert found.predicted == pytest.approx((1.2, 0.24))
    assert (found.latency_s, found.seconds, found.wait_s, found.quality) == (1.5, (1.2, 0.24), 0.05, 0.8)
    assert found.reference_s == pytest.approx(4.0), "two images of the base member's two seconds"
    assert found.features["one"] == 1.0
    assert found.settled is None


def test_what_came_before_the_decision_is_none_of_its_doing() -> None:
    late = decided(at=1030.0)
    found = observed(late, outcome_of(late, 31.0, wait_s=30.4))
    assert found is not None
    assert found.latency_s == pytest.approx(1.0)
    assert found.wait_s == pytest.approx(0.4)


@pytest.mark.parametrize(
    "changes",
    [
        {"decision_id": "another"},
        {"job_id": "another"},
        {"arm": "small:20"},
        {"quality": 1.5},
        {"quality": float("nan")},
        {"latency_s": float("inf")},
        {"stage_seconds": (float("nan"), 0.1)},
    ],
)
def test_an_outcome_that_does_not_fit_or_is_no_number_teaches_nothing(changes: dict[str, object]) -> None:
    whole = outcome_of(RECORD, 1.0)
    spoilt = Outcome.model_construct(**(dict(whole) | changes))
    assert observed(RECORD, spoilt) is None


def test_a_decision_of_an_older_release_leaves_nothing_to_learn_from() -> None:
    old = RECORD.model_copy(update={"basis": None})
    assert observed(old, outcome_of(old)) is None


def test_a_job_that_fixed_its_stages_teaches_too() -> None:
    record = decided(question(relay=fixed({"member": "small", "steps": 15})))
    found = observed(record, outcome_of(record, 0.5, quality=0.6))
    assert found is not None
    assert found.features["head=small"] == 1.0
    assert found.kind == "device-only"


def test_what_the_log_knows_of_earlier_reports_comes_along() -> None:
    first = RECORD.model_copy(update={"outcome": outcome_of(RECORD)})
    assert observed(first, outcome_of(RECORD)).settled is False  # type: ignore[union-attr]
    judged = RECORD.model_copy(update={"outcome": outcome_of(RECORD, quality=0.5)})
    assert observed(judged, outcome_of(RECORD)).settled is True  # type: ignore[union-attr]


def test_stage_seconds_of_another_number_of_stages_are_left_out() -> None:
    found = observed(RECORD, outcome_of(RECORD, 1.0, stage_seconds=(0.4,)))
    assert found is not None
    assert found.seconds == ()


def test_loading_says_nothing_of_how_fast_a_member_is() -> None:
    outcome = outcome_of(RECORD, 9.5, stage_seconds=(7.2, 2.24), load_seconds=(6.0, 2.0))
    found = observed(RECORD, outcome)
    assert found is not None
    assert found.seconds == pytest.approx((1.2, 0.24))
    assert found.latency_s == pytest.approx(1.5)


def test_where_no_stage_tells_loading_took_what_was_expected() -> None:
    assert RECORD.basis is not None
    cold = RECORD.model_copy(update={"basis": RECORD.basis.model_copy(update={"loads": (3.0, 1.0)})})
    whole = observed(cold, outcome_of(cold, 6.0))
    older = observed(cold, outcome_of(cold, 6.0, stage_seconds=(1.2, 0.24)))
    assert whole is not None
    assert older is not None
    assert not whole.seconds
    assert whole.latency_s == pytest.approx(2.0)
    assert (older.seconds, older.latency_s) == ((1.2, 0.24), 6.0), "an older release does not tell loads apart"
