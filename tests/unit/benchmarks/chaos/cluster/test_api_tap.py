"""Which requests to the API server count as changing something, and by which a moment is known."""

from __future__ import annotations

import json

import pytest

from benchmarks.chaos.cluster.api_tap import Asked, asked_of, makes_pod, writes_status

STATUS = "/apis/rise-relay.io/v1alpha1/namespaces/chaos/relayjobs/job-1/status"
PODS = "/api/v1/namespaces/rise-system/pods"


def patch(condition: str, true: str, path: str = STATUS) -> Asked:
    return Asked("PATCH", path, {"status": {"conditions": [{"type": condition, "status": true}]}})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", STATUS),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/rise-system/leases/rise-operator"),
        ("POST", "/api/v1/namespaces/chaos/events"),
    ],
)
def test_reading_leases_and_events_change_nothing_that_others_go_by(method: str, path: str) -> None:
    assert asked_of(method, path, b"{}") is None


@pytest.mark.parametrize("body", [b"", b"status: yaml", b"[1]"])
def test_a_body_that_is_no_object_is_asked_all_the_same(body: bytes) -> None:
    assert asked_of("DELETE", PODS, body) == Asked("DELETE", PODS, {})


def test_a_request_is_read_with_its_body() -> None:
    assert asked_of("POST", PODS, json.dumps({"a": 1}).encode()) == Asked("POST", PODS, {"a": 1})


def test_a_status_is_known_by_its_job_and_what_it_says_is_true() -> None:
    matches = writes_status("job-1", "Complete")
    assert matches(patch("Complete", "True"))
    assert not matches(patch("Complete", "False"))
    assert not matches(patch("Scheduled", "True"))
    assert not matches(patch("Complete", "True", STATUS.replace("job-1", "job-11")))
    assert not matches(Asked("PATCH", STATUS, {"status": {"conditions": None}}))
    assert not matches(Asked("PATCH", STATUS, {}))
    assert not matches(Asked("PUT", STATUS, patch("Complete", "True").body))


def test_a_pod_is_known_by_the_name_of_its_job() -> None:
    matches = makes_pod("job-1")
    assert matches(Asked("POST", PODS, {"metadata": {"name": "job-1-0a1b2c3d-edge"}}))
    assert not matches(Asked("POST", PODS, {"metadata": {"name": "job-11-0a1b2c3d-edge"}}))
    assert not matches(Asked("POST", PODS, {"metadata": {}}))
    assert not matches(Asked("DELETE", PODS, {"metadata": {"name": "job-1-0a1b2c3d-edge"}}))
