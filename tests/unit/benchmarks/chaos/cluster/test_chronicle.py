"""What a watch tells of jobs, kept as their stories."""

from __future__ import annotations

from typing import Any

from benchmarks.chaos.cluster.chronicle import Chronicle, sight_of

DIGEST = "d" * 64


def status(phase: str, *true: str, attempt: int = 1, **more: Any) -> dict[str, Any]:
    conditions = [{"type": kind, "status": "True", "reason": "Done", "message": "so"} for kind in true]
    return {"phase": phase, "conditions": conditions, "attempt": attempt, "jobId": "job-1", **more}


def relay_job(uid: str = "uid-1", said: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"metadata": {"name": "job", "uid": uid}, **({} if said is None else {"status": said})}


def told(*events: tuple[str, dict[str, Any]]) -> Chronicle:
    chronicle = Chronicle()
    for now, (kind, body) in enumerate(events):
        chronicle.saw(kind, body, float(now))
    return chronicle


def test_a_story_has_every_status_that_was_news_and_when_it_came() -> None:
    running = relay_job(said=status("Running"))
    done = relay_job(said=status("Complete", "Complete", result={"digest": DIGEST}))
    story = told(("ADDED", relay_job()), ("MODIFIED", running), ("MODIFIED", running), ("MODIFIED", done)).stories[
        "job"
    ]
    assert [(sight.at, sight.phase) for sight in story.sights] == [(1.0, "Running"), (3.0, "Complete")]
    assert story.end is not None
    assert (story.end.at, story.end.digest, story.end.ended) == (3.0, DIGEST, ("Complete",))
    assert story.job_id == "job-1"


def test_an_end_that_is_taken_back_stays_in_the_story() -> None:
    done, running = relay_job(said=status("Complete", "Complete")), relay_job(said=status("Running"))
    story = told(("MODIFIED", done), ("MODIFIED", running), ("MODIFIED", done)).stories["job"]
    assert [sight.ended for sight in story.sights] == [("Complete",), (), ("Complete",)]


def test_a_job_that_was_deleted_is_gone_and_its_story_stays() -> None:
    story = told(("ADDED", relay_job()), ("DELETED", relay_job(said=status("Running")))).stories["job"]
    assert story.gone == 1.0
    assert [sight.phase for sight in story.sights] == ["Running"]


def test_another_job_of_the_same_name_has_a_story_of_its_own() -> None:
    chronicle = told(("ADDED", relay_job("uid-1", status("Failed", "Failed"))), ("ADDED", relay_job("uid-2")))
    story = chronicle.of("job")
    assert story is not None
    assert (story.uid, story.end, story.gone) == ("uid-2", None, None)


def test_what_a_look_at_everything_does_not_find_is_gone() -> None:
    chronicle = told(("ADDED", relay_job()))
    chronicle.listed([], 7.0)
    assert chronicle.stories["job"].gone == 7.0
    chronicle.listed([], 9.0)
    assert chronicle.stories["job"].gone == 7.0


def test_what_a_look_at_everything_finds_is_seen() -> None:
    chronicle = Chronicle()
    chronicle.listed([relay_job(said=status("Running"))], 5.0)
    assert [sight.phase for sight in chronicle.stories["job"].sights] == ["Running"]
    assert chronicle.of("another") is None


def test_a_condition_that_is_false_is_no_end() -> None:
    said = status("Running")
    said["conditions"] = [{"type": "Complete", "status": "False", "reason": "Pending"}]
    assert sight_of(said, 0.0).ended == ()


def test_an_end_says_why() -> None:
    assert sight_of(status("Failed", "Failed"), 0.0).why == "Done: so"
