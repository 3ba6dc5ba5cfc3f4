"""Whether a series is flat."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.chaos import soak
from benchmarks.chaos.soak import Drift, Sample

LENGTH = 30


def series(values: list[float], what: str = "rss_mib") -> list[Sample]:
    return [Sample(10.0 * place, "edge-1", what, value) for place, value in enumerate(values)]


def drift(values: list[float], what: str = "rss_mib") -> Drift:
    (found,) = soak.drifts(series(values, what))
    return found


def test_what_is_loaded_at_first_use_is_no_growth() -> None:
    assert drift([100.0 + 10.0 * place for place in range(10)] + [300.0] * 20).flat


def test_noise_and_a_process_that_is_started_anew_are_no_growth() -> None:
    assert drift([500.0 + 20.0 * (place % 3) for place in range(LENGTH)]).flat
    assert drift([500.0] * 20 + [80.0, 200.0] + [500.0] * 8).flat


def test_a_leak_is_growth() -> None:
    assert not drift([100.0 + 5.0 * place for place in range(LENGTH)]).flat


@pytest.mark.parametrize(("what", "room"), soak.ROOM.items())
def test_each_kind_has_its_room(what: str, room: float) -> None:
    assert drift([0.0] * 20 + [room] * 10, what).flat
    assert not drift([0.0] * 20 + [room + 0.1] * 10, what).flat


def test_too_short_a_series_is_not_judged() -> None:
    assert soak.drifts(series([1.0] * 5)) == []


def test_every_job_of_a_soak_removes_itself() -> None:
    planned = soak.jobs(3, seconds=60.0)
    assert all(next(planned).expires for _ in range(50))
    assert list(soak.jobs(3, seconds=-1.0)) == []


def test_samples_and_judgement_are_written(tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    found = soak.write(series([100.0] * LENGTH), 9, file)
    body = json.loads(file.read_text())
    assert body["seed"] == 9
    assert len(body["samples"]) == LENGTH
    assert (
        body["drifts"] == [{"name": "edge-1", "what": "rss_mib", "before": 100.0, "after": 100.0, "flat": True}]
        and len(found) == 1
    )
