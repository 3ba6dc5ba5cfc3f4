"""Measured latencies: a finished job is taken apart into what it was made of, and the committed figures are whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rise_shapes
from benchmarks import measure_latency
from benchmarks.measure_latency import Sample
from rise_contracts.messages import ImageRef, JobDone, JobRequest, PayloadRef, StageReport
from rise_contracts.records import JobRecord
from rise_contracts.resources import RelayJobSpec

SHA = "0" * 64
RECORD = JobRecord(
    request=JobRequest(job_id="job-1", spec=RelayJobSpec(prompt="a red circle"), seed=1, accepted_at=100.0)
)


def report(stage: int, member: str, tier: str, began: float, seconds: float, timings: dict[str, float]) -> StageReport:
    return StageReport.model_validate(
        {
            "stage": stage,
            "member": member,
            "tier": tier,
            "pool": tier,
            "worker": f"{tier}-1",
            "steps": 4,
            "seconds": seconds,
            "timings": timings,
            "started_at": began,
            "finished_at": began + seconds,
        }
    )


def done(*stages: StageReport) -> JobDone:
    return JobDone(
        job_id="job-1",
        attempt=1,
        at=104.0,
        worker="device-1",
        arm="large:4@1.3+finisher:4",
        seed=1,
        digest=SHA,
        nbytes=1,
        images=(ImageRef(nbytes=1, sha256=SHA, width=64, height=64),),
        payload=PayloadRef(kind="inline", nbytes=1, sha256=SHA),
        stages=stages,
    )


HEAD = report(0, "large", "edge", 100.5, 1.0, {"encode": 0.1, "denoise": 0.8, "pack": 0.05, "waited": 0.01})
TAIL = report(1, "finisher", "device", 102.0, 1.0, {"encode": 0.2, "denoise": 0.4, "decode": 0.25, "load": 0.0})


def test_a_relay_is_taken_apart_into_steps_parts_and_the_ways_between() -> None:
    parts = {s.part: s.seconds for s in measure_latency.samples_of(RECORD, done(HEAD, TAIL), 103.25)}
    assert parts == pytest.approx(
        {
            "accept": 0.5,
            "step.large": 0.2,
            "step.finisher": 0.1,
            "encode.edge": 0.1,
            "encode.device": 0.2,
            "pack.edge": 0.05,
            "decode.device": 0.25,
            "rest.edge": 0.04,
            "rest.device": 0.15,
            "handoff": 0.5,
            "finish": 0.25,
        }
    )


def test_the_parts_of_a_job_add_up_to_its_latency() -> None:
    parts = {s.part: s.seconds for s in measure_latency.samples_of(RECORD, done(HEAD, TAIL), 103.25)}
    steps = 4 * (parts.pop("step.large") + parts.pop("step.finisher"))
    waited = HEAD.timings["waited"]
    assert sum(parts.values()) + steps + waited == pytest.approx(3.25)


def test_a_job_of_one_stage_has_no_handoff() -> None:
    assert "handoff" not in {s.part for s in measure_latency.samples_of(RECORD, done(HEAD), 102.0)}


def test_a_part_is_told_by_its_quantiles_and_all_its_samples() -> None:
    found = measure_latency.summary([Sample("handoff", seconds / 1000) for seconds in range(101)])["handoff"]
    assert (found["n"], found["p05"], found["p50"], found["p95"]) == (101, 0.005, 0.05, 0.095)
    assert found["samples"] == sorted(found["samples"]) and len(found["samples"]) == 101


def test_a_clock_that_steps_back_is_no_negative_duration() -> None:
    assert min(measure_latency.summary([Sample("finish", -0.1), Sample("finish", 0.2)])["finish"]["samples"]) == 0


def test_the_file_is_json_with_its_circumstances(tmp_path: Path) -> None:
    found = measure_latency.summary([Sample("handoff", 0.1), Sample("handoff", 0.3), Sample("accept", 0.1)] * 2)
    measure_latency.write({"machine": "this one", "load_before": (1.0, 2.0, 3.0), "parts": found}, tmp_path / "a.json")
    told = json.loads((tmp_path / "a.json").read_text())
    assert told == {"machine": "this one", "load_before": [1.0, 2.0, 3.0], "parts": found}


def test_the_committed_figures_have_thirty_runs_or_more_of_every_member_and_way() -> None:
    told = json.loads(measure_latency.LATENCY_FILE.read_text())
    members = {f"step.{member.name}" for member in rise_shapes.family().spec.members}
    wanted = members | {"encode.edge", "encode.device", "decode.edge", "decode.device", "handoff", "accept", "finish"}
    assert wanted <= set(told["parts"])
    assert all(part["n"] >= 30 and part["p05"] <= part["p50"] <= part["p95"] for part in told["parts"].values())
    assert {"machine", "threads", "load_before", "load_after"} <= set(told)
