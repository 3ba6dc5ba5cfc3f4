"""Errors are one line with a way out; names near a mistake are found."""

from __future__ import annotations

import pytest

from rise_contracts import errors, handoff, subjects, words
from tests.handoffs import header


@pytest.mark.parametrize(
    ("name", "near"),
    [("lage", "large"), ("LARGE", "large"), ("finnisher", "finisher"), ("smal", "small"), ("zzz", None), ("", None)],
)
def test_the_nearest_name_is_found(name: str, near: str | None) -> None:
    assert words.nearest(name, ["large", "small", "finisher"]) == near


def test_a_suggestion_names_what_there_is() -> None:
    assert words.suggestion("lage", ["large"]) == "did you mean 'large'?"
    assert words.suggestion("zzz", ["b", "a"]) == "known: a, b"
    assert words.suggestion("zzz", []) == "none is known"
    assert words.suggestion("zzz", [f"member-{n}" for n in range(20)]).endswith(" …")


EXAMPLES: list[errors.RiseError] = [
    errors.InvalidInput("steps", "1 to 200", 900, "choose fewer"),
    errors.UnknownName("member", "lage", ["large"]),
    errors.LatentsDiffer("latent", "4 channels", 99),
    errors.IdempotencyConflict("k", "job-1"),
    errors.PayloadTooLarge("handoff", 10, 5),
    errors.NotFound("job", "job-1", "see rise get"),
    errors.JobEndedBadly("job-1", "DeadLettered", "gone"),
    errors.StageFailed("no memory"),
    errors.HandoffRefused(errors.Refusal.SIGMA, 1.0, 2.0),
    errors.Cancelled("job-1"),
    errors.Busy("later"),
    errors.NoResponder("rise.x"),
    errors.Waited("an answer", 2.0),
    errors.BusUnavailable("nats://h:1", "nobody answers"),
    errors.BusUnsuitable("nats://h:1", "too old"),
    errors.NotAllowed("nats://h:1", "publish on rise.dead.a", "rise.dead.a"),
    errors.WorkerLost("edge-1"),
    errors.DiskFull("/x"),
    errors.RemoteError("Busy", "later", True),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_is_one_line_with_an_exit_code_above_zero(error: errors.RiseError) -> None:
    assert str(error)
    assert "\n" not in str(error)
    assert 1 <= error.exit_code <= 9
    assert error.reason


def test_every_error_of_the_tree_is_in_the_examples_and_in_the_docstring() -> None:
    tried = {type(error).__name__ for error in EXAMPLES} | {"RiseError"}
    # Subclasses of other packages register themselves too; the tree speaks of this module's own.
    own = {name for name in errors.EXIT_CODES if getattr(errors, name, None) is not None}
    assert own <= tried
    assert errors.__doc__ is not None
    assert all(name in errors.__doc__ for name in tried)


def test_a_hint_of_several_lines_becomes_one() -> None:
    assert str(errors.NotFound("job", "x", "look\n  here")) == "job 'x' does not exist; look here"


@pytest.mark.parametrize("refusal", list(errors.Refusal))
def test_only_damage_under_way_is_worth_another_attempt(refusal: errors.Refusal) -> None:
    damaged = refusal in (errors.Refusal.DIGEST, errors.Refusal.SIZE)
    assert errors.HandoffRefused(refusal, 1, 2).retriable is damaged


def test_a_payload_is_checked_against_its_header() -> None:
    handoff.check_payload(header("job-1", b"latent"), b"latent")
    with pytest.raises(errors.HandoffRefused) as caught:
        handoff.check_payload(header("job-1", b"latent"), b"latenT")
    assert caught.value.refusal is errors.Refusal.DIGEST
    with pytest.raises(errors.HandoffRefused) as caught:
        handoff.check_payload(header("job-1", b"latent"), b"late")
    assert caught.value.refusal is errors.Refusal.SIZE


def test_work_subjects_name_pool_worker_job_and_attempt() -> None:
    subject = subjects.work("edge", "edge-1", "job-1", 3)
    assert subject == "rise.work.edge.edge-1.job-1.3"
    assert subjects.job_of_work(subject) == ("job-1", 3)
    assert subjects.work("edge", None, "job-1", 3) == "rise.work.edge.any.job-1.3"
    assert subjects.work_of_job("edge", "job-1", 3) == "rise.work.edge.*.job-1.3"
    assert subjects.work_of_job("edge", "job-1") == "rise.work.edge.*.job-1.*"
    with pytest.raises(ValueError, match=r"wanted rise\.work"):
        subjects.job_of_work("rise.work.edge")


def test_pools_have_streams_of_their_own() -> None:
    assert subjects.work_stream("edge-a100") == "RISE_WORK_EDGE_A100"
    assert subjects.work_filter("edge", None) != subjects.work_filter("edge", "edge-1")


def test_message_ids_tell_attempts_and_stages_apart() -> None:
    ids = {subjects.task_id("job-1", attempt, stage) for attempt in (1, 2) for stage in (0, 1)}
    assert len(ids) == 4
    assert subjects.event_id("j", 1, "stage-started", 0, "1") != subjects.event_id("j", 1, "stage-started", 0, "2")
