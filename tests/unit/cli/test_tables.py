"""Lists and explanations."""

from __future__ import annotations

import json

import pytest

from rise_cli import tables
from rise_contracts import messages, records
from rise_contracts.decisions import Candidate, DecisionRecord
from tests.unit.cli import builders


def waiting() -> records.JobRecord:
    return builders.record(
        state=records.JobState.PENDING,
        decision=None,
        waiting_reason=records.Waiting.NO_CONFIGURATION,
        waiting_message="no device worker is ready",
    )


def test_a_job_that_waits_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    tables.jobs([waiting(), builders.record()], 160.0, as_json=False)
    first, second, third = (line.split() for line in capsys.readouterr().out.splitlines())
    assert first[:4] == ["JOB", "STATE", "ARM", "AGE"]
    assert second[:3] == ["job-1", "Pending", "1m"]
    assert " ".join(second[3:]) == "waiting for a worker that can do it: no device worker is ready"
    assert third[:4] == ["job-1", "Complete", "large:6@1.2+finisher:5", "1m"]


def test_no_jobs_says_how_to_make_one(capsys: pytest.CaptureFixture[str]) -> None:
    tables.jobs([], 0.0, as_json=False)
    assert "rise submit" in capsys.readouterr().out


def test_json_lists_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    tables.jobs([builders.record()], 0.0, as_json=True)
    (read,) = json.loads(capsys.readouterr().out)
    assert records.JobRecord.model_validate(read) == builders.record()
    tables.workers([], as_json=True)
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize(("seconds", "want"), [(-1, "0s"), (59, "59s"), (61, "1m"), (7200, "2h"), (200_000, "2d")])
def test_ages(seconds: float, want: str) -> None:
    assert tables._age(seconds) == want


def test_workers_are_listed_edge_first(capsys: pytest.CaptureFixture[str]) -> None:
    def beat(name: str, tier: str) -> messages.Heartbeat:
        return messages.Heartbeat.model_validate(
            {"worker": name, "tier": tier, "pool": tier, "pid": 1, "at": 0.0, "members": ("large",),
             "seconds_per_step": {"large": 0.0125}, "rss_bytes": 300 << 20}
        )  # fmt: skip

    tables.workers([beat("device-1", "device"), beat("edge-1", "edge")], as_json=False)
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split() == ["edge-1", "edge", "ready", "large", "large", "12", "ms", "300.0", "MiB"]
    assert second.startswith("device-1")


@pytest.mark.parametrize(
    ("accelerator", "want"),
    [
        (None, "ready"),
        (messages.Accelerator(temperature_c=60.0, throttled=False), "ready"),
        (messages.Accelerator(throttled=True), "ready, throttled"),
        (messages.Accelerator(temperature_c=91.0, throttled=True), "ready, throttled at 91 °C"),
    ],
)
def test_a_worker_that_is_slowed_down_says_so(accelerator: messages.Accelerator | None, want: str) -> None:
    beat = messages.Heartbeat(worker="edge-1", tier="edge", pool="edge", pid=1, at=0.0, accelerator=accelerator)
    assert tables._state(beat) == want


def test_one_job_shows_its_stages_and_its_result(capsys: pytest.CaptureFixture[str]) -> None:
    stages = (
        records.StageStatus(index=0, worker="edge-1", report=builders.stage_report(0, 0.3)),
        records.StageStatus(index=1, worker="device-1"),
    )
    tables.job(builders.record(stages=stages), as_json=False)
    text = capsys.readouterr().out
    assert "stage 0  edge large: done on edge-1 in 300 ms" in text
    assert "stage 1  device finisher: running on device-1" in text


@pytest.mark.parametrize(("frames", "count", "want"), [(1, 2, "2 pictures;"), (33, 1, "1 video of 33 frames;")])
def test_a_result_is_pictures_or_videos(frames: int, count: int, want: str, capsys: pytest.CaptureFixture[str]) -> None:
    ref = builders.done().images[0].model_copy(update={"frames": frames})
    result = records.ResultRef(digest=builders.PNG_SHA, nbytes=3, images=(ref,) * count, worker="w", attempt=1)
    tables.job(builders.record(result=result), as_json=False)
    assert f"result   {want}" in capsys.readouterr().out


def test_an_explanation_shows_what_was_weighed(capsys: pytest.CaptureFixture[str]) -> None:
    note = DecisionRecord(
        decision=builders.decision(),
        family="tiny",
        attempt=1,
        images=1,
        preference=0.5,
        expected_quality=0.9,
        at=100.0,
        candidates=(
            Candidate(arm=builders.CONFIGURATION.arm, kind="relay", predictions=builders.decision().predictions),
            Candidate(arm="small:20", kind="device-only", masked="no device worker is ready"),
        ),
    )
    failure = records.Failure(reason="StageFailed", message="it broke", attempt=1)
    tables.explain(builders.record(failures=(failure,)), note, as_json=False)
    text = capsys.readouterr().out
    assert "failed   attempt 1: StageFailed: it broke" in text
    assert "decision by fixed, propensity 1.00" in text
    assert "context  load 0.25" in text
    chosen, other = text.splitlines()[-2:]
    assert chosen.split() == ["→", "large:6@1.2+finisher:5", "500", "ms", "300", "ms", "0.90"]
    assert "why      fixed ranks nothing: it goes by the preference, 0.5" in text
    assert other.endswith("no device worker is ready")
    tables.explain(builders.record(), note, as_json=True)
    assert json.loads(capsys.readouterr().out)["decision"]["decision"]["id"] == "d1"


def test_an_explanation_without_a_note_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    tables.explain(waiting(), None, as_json=False)
    assert "decision none yet" in capsys.readouterr().out
    tables.explain(builders.record(), None, as_json=False)
    assert "its note is gone" in capsys.readouterr().out


def test_what_a_worker_is_at_and_how_many_of_its_slots_that_takes(capsys: pytest.CaptureFixture[str]) -> None:
    beat = {"tier": "edge", "pool": "edge", "pid": 1, "at": 0.0, "members": ("large",)}
    several = {**beat, "worker": "edge-1", "slots": 8, "busy_jobs": ("job-1", "job-2")}
    one = {**beat, "worker": "edge-2", "busy_jobs": ("job-3",)}
    tables.workers([messages.Heartbeat.model_validate(item) for item in (several, one)], as_json=False)
    head, first, second = capsys.readouterr().out.splitlines()
    assert "JOBS" in head.split()
    assert first.split()[:7] == ["edge-1", "edge", "ready", "large", "2/8", "job-1,", "job-2"]
    assert second.split()[:5] == ["edge-2", "edge", "ready", "large", "job-3"]
