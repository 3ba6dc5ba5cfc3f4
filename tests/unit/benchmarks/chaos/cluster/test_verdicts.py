"""What the API server said of jobs, judged: each way in which a promise can be broken is seen, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.chaos.cluster import verdicts
from benchmarks.chaos.cluster.chronicle import Sight, Story
from benchmarks.chaos.cluster.verdicts import Expected

DIGEST, OTHER = "a" * 64, "b" * 64
RUNNING = Sight(1.0, phase="Running", attempt=1)
COMPLETE = Sight(2.0, ("Complete",), "Complete", DIGEST, 1)
FAILED = Sight(2.0, ("Failed",), "Failed", why="StageFailed: it broke")
JOB, GONE = Expected("job", DIGEST), Expected("job", DIGEST, gone=True)


def stories(*sights: Sight, gone: float | None = None) -> dict[str, Story]:
    return {"job": Story("job", "uid", 0.0, list(sights), gone)}


def complaints(told: dict[str, Story], job: Expected = JOB) -> dict[str, list[str]]:
    """What each of the three has to say, where it has anything."""
    found = {
        "lost": list(verdicts.lost(told, job)),
        "duplicated": list(verdicts.duplicated(told, job)),
        "hung": list(verdicts.hung(told, job)),
    }
    return {kind: lines for kind, lines in found.items() if lines}


def test_a_job_that_ended_once_with_its_own_picture_is_right() -> None:
    assert complaints(stories(RUNNING, COMPLETE)) == {}


def test_a_word_that_changes_beside_the_end_is_no_other_end() -> None:
    later = Sight(3.0, ("Complete",), "Complete", DIGEST, 1, why="Completed: said otherwise")
    assert complaints(stories(RUNNING, COMPLETE, later)) == {}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "never seen"),
        (stories(gone=1.0), "gone when it was without a status"),
        (stories(RUNNING, gone=2.0), "gone when it was Running"),
        (stories(COMPLETE, gone=3.0), "gone when it was Complete"),
    ],
)
def test_an_accepted_job_that_is_not_there_is_lost(told: dict[str, Story], said: str) -> None:
    assert complaints(told) == {"lost": [f"job: accepted, and {said}"]}


def test_a_job_that_failed_is_lost() -> None:
    assert complaints(stories(RUNNING, FAILED)) == {"lost": ["job: wanted Complete, got StageFailed: it broke"]}


@pytest.mark.parametrize(
    ("after", "became"),
    [
        (RUNNING, "not over"),
        (FAILED, "Failed"),
        (Sight(3.0, ("Complete",), "Complete", OTHER, 1), f"Complete {OTHER[:12]}"),
    ],
    ids=["under way", "failed", "another picture"],
)
def test_an_end_that_is_taken_back_is_a_second_one(after: Sight, became: str) -> None:
    assert complaints(stories(RUNNING, COMPLETE, after)) == {
        "duplicated": [f"job: was Complete {DIGEST[:12]}, became {became}"]
    }


def test_an_end_of_another_attempt_is_a_second_one() -> None:
    again = Sight(3.0, ("Complete",), "Complete", DIGEST, 2)
    assert "duplicated" in complaints(stories(COMPLETE, again))


def test_both_ends_at_once_are_seen() -> None:
    both = Sight(2.0, ("Complete", "Failed"), "Complete", DIGEST, 1)
    assert complaints(stories(both))["duplicated"] == ["job: both Complete and Failed are true"]


@pytest.mark.parametrize(("digest", "got"), [(OTHER, OTHER[:12]), ("", "none")])
def test_a_picture_that_an_undisturbed_run_does_not_give_is_seen(digest: str, got: str) -> None:
    strange = Sight(2.0, ("Complete",), "Complete", digest, 1)
    assert complaints(stories(strange)) == {"duplicated": [f"job: wanted the result {DIGEST[:12]}, got {got}"]}


@pytest.mark.parametrize(("told", "said"), [(stories(), "still without a status"), (stories(RUNNING), "still Running")])
def test_a_job_without_an_end_hangs(told: dict[str, Story], said: str) -> None:
    assert complaints(told) == {"hung": [f"job: {said}"]}


@pytest.mark.parametrize("sights", [(), (RUNNING,), (RUNNING, COMPLETE), (FAILED,)])
def test_a_deleted_job_may_have_come_to_any_end(sights: tuple[Sight, ...]) -> None:
    assert complaints(stories(*sights, gone=3.0), GONE) == {}


def test_a_deleted_job_that_stays_hangs() -> None:
    assert complaints(stories(RUNNING), GONE) == {"hung": ["job: deleted, and still there"]}


def pod(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "space", "labels": labels}}


def test_pods_of_jobs_that_are_over_are_orphans() -> None:
    pods = [pod("mine", job="here"), pod("late", job="gone"), pod("pool"), {"metadata": {"name": "bare"}}]
    assert list(verdicts.orphans(pods, ["here"], "job")) == ["pod space/late of a job that is over"]


def test_events_that_tell_the_prompt_are_named() -> None:
    events: list[dict[str, Any]] = [
        {"metadata": {"name": "fine"}, "message": "large in pool edge", "reason": "Scheduled"},
        {"metadata": {"name": "loose"}, "message": "drawing a red circle now", "reason": "Scheduled"},
        {"metadata": {"name": "bare"}},
    ]
    assert list(verdicts.told(events, "red circle")) == ["event loose tells the prompt"]
