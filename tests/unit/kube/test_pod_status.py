"""What a process node says of a pod is what a kubelet would."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kube import pod_status
from tests.kube.api import Json
from tests.kube.pod_status import Container, Image

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z"
RUNNING: Json = {"running": {"startedAt": NOW}}
WAITING: Json = {"waiting": {"reason": "ContainerCreating"}}
PULLING: Json = {"waiting": {"reason": "ImagePullBackOff"}}
CRASHED: Json = {"waiting": {"reason": "CrashLoopBackOff"}}


def over(code: int) -> Json:
    return {"terminated": {"exitCode": code}}


def a_pod(policy: str = "Always", **status: Any) -> Json:
    meta = {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "tail"}}
    return {"metadata": meta, "spec": {"restartPolicy": policy, "containers": []}, "status": status}


@pytest.mark.parametrize(
    ("states", "policy", "want"),
    [
        ([RUNNING], "Always", "Running"),
        ([RUNNING, WAITING], "Always", "Pending"),
        ([PULLING], "Always", "Pending"),
        ([over(1)], "Always", "Running"),
        ([over(0)], "Always", "Running"),
        ([over(0)], "OnFailure", "Succeeded"),
        ([over(1)], "OnFailure", "Running"),
        ([over(0), over(0)], "Never", "Succeeded"),
        ([over(0), over(1)], "Never", "Failed"),
        ([over(1), RUNNING], "Never", "Running"),
    ],
)
def test_the_phase_follows_from_states_and_restart_policy(states: list[Json], policy: str, want: str) -> None:
    containers = [Container(f"c{index}", "i", state) for index, state in enumerate(states)]
    assert pod_status.phase(containers, policy) == want


def test_a_container_between_two_starts_counts_as_running() -> None:
    assert pod_status.phase([Container("c", "i", CRASHED, last=over(1))], "Always") == "Running"


def test_a_pod_is_ready_when_all_its_containers_are() -> None:
    containers = [Container("a", "i", RUNNING, ready=True), Container("b", "i", RUNNING)]
    ready = {each["type"]: each for each in pod_status.status(containers, a_pod(), NOW)["conditions"]}["Ready"]
    assert (ready["status"], ready["message"]) == ("False", "containers with unready status: [b]")
    containers[1].ready = True
    ready = {each["type"]: each for each in pod_status.status(containers, a_pod(), NOW)["conditions"]}["Ready"]
    assert (ready["status"], ready["message"]) == ("True", None)


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    container = Container("a", "i", RUNNING, ready=True)
    first = pod_status.status([container], a_pod(), NOW)
    again = pod_status.status([container], a_pod(**first), LATER)
    assert {each["lastTransitionTime"] for each in again["conditions"]} == {NOW}
    container.ready = False
    lost = pod_status.status([container], a_pod(**first), LATER)
    assert {each["type"] for each in lost["conditions"] if each["lastTransitionTime"] == LATER} == {
        "Ready",
        "ContainersReady",
    }


def test_a_status_that_somebody_else_wrote_over_differs() -> None:
    container = Container("a", "i", RUNNING, ready=True)
    said = pod_status.status([container], a_pod(), NOW)
    assert not pod_status.differs([container], a_pod(**said))
    (ready,) = (each for each in said["conditions"] if each["type"] == "Ready")
    ready["status"] = "False"
    assert pod_status.differs([container], a_pod(**said))


@pytest.mark.parametrize(
    ("code", "want"), [(0, (0, "Completed")), (3, (3, "Error")), (-15, (143, "Error")), (-9, (137, "Error"))]
)
def test_a_signal_shows_as_an_exit_code_above_128(code: int, want: tuple[int, str]) -> None:
    state = pod_status.ended(code, NOW, LATER, b"", "File")["terminated"]
    assert (state["exitCode"], state["reason"]) == want


def test_the_last_words_are_kept_where_the_pod_asks_and_the_container_failed() -> None:
    words = b"x" * 3000 + b"end"
    kept = pod_status.ended(1, NOW, LATER, words, "FallbackToLogsOnError")["terminated"]["message"]
    assert len(kept) == pod_status.LONGEST_MESSAGE and kept.endswith("end")
    assert "message" not in pod_status.ended(0, NOW, LATER, words, "FallbackToLogsOnError")["terminated"]
    assert "message" not in pod_status.ended(1, NOW, LATER, words, "File")["terminated"]
    for policy in ("File", "FallbackToLogsOnError"):
        assert pod_status.ended(1, NOW, LATER, words, policy, b"x" * 9000)["terminated"]["message"] == "x" * 4096


def test_the_pauses_before_restarts_double_up_to_five_minutes() -> None:
    assert [pod_status.pause_before_restart(n, 10.0) for n in (0, 1, 2, 3, 9)] == [0.0, 10.0, 20.0, 40.0, 300.0]


def test_a_container_that_ran_before_its_node_rebooted_is_lost() -> None:
    spec = {"name": "c", "image": "i"}
    ran = {"name": "c", "state": RUNNING, "restartCount": 2}
    lost = pod_status.first(spec, a_pod(containerStatuses=[ran]))
    assert (lost.state["terminated"]["exitCode"], lost.restarts) == (137, 2)
    done = pod_status.first(spec, a_pod(containerStatuses=[{**ran, "state": over(0)}]))
    assert done.state == over(0)
    assert pod_status.first(spec, a_pod()).state == WAITING


@pytest.mark.parametrize(
    "name", ["rise-stage", "rise-stage:0.2", "rise-stage@sha256:ab12", "rise-stage:0.2@sha256:ab12"]
)
def test_an_image_is_found_without_tag_and_digest(name: str) -> None:
    assert pod_status.find_image({"rise-stage": Image(("x",))}, name) == Image(("x",))


def test_a_registry_with_a_port_is_part_of_an_image_s_name() -> None:
    images = {"localhost:5000/rise-stage": Image(("x",))}
    assert pod_status.find_image(images, "localhost:5000/rise-stage:1") == Image(("x",))
    assert pod_status.find_image(images, "rise-stage") is None


@pytest.mark.parametrize(
    ("container", "want"),
    [
        ({}, ["python", "-m", "rise_stage"]),
        ({"args": ["--pool", "$(POOL)"]}, ["python", "-m", "rise_stage", "--pool", "edge"]),
        ({"command": ["sh", "-c"], "args": ["true"]}, ["sh", "-c", "true"]),
    ],
)
def test_command_replaces_the_entry_point_and_args_follow(container: Json, want: list[str]) -> None:
    assert pod_status.command_line(Image(("python", "-m", "rise_stage")), container, {"POOL": "edge"}) == want


def test_a_variable_is_filled_in_unless_it_is_unknown_or_escaped() -> None:
    assert pod_status.expand("$(A) $(B) $$(A) $A", {"A": "1"}) == "1 $(B) $(A) $A"


def test_the_downward_api_says_what_is_asked_for() -> None:
    fields = ["metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "status.podIP"]
    assert [pod_status.from_field(each, a_pod(), "edge-1") for each in fields] == ["p", "n", "u", "edge-1", "127.0.0.1"]
    assert pod_status.from_field("metadata.labels['app']", a_pod(), "edge-1") == "tail"
    with pytest.raises(KeyError):
        pod_status.from_field("metadata.generation", a_pod(), "edge-1")


def test_a_probe_asks_at_the_port_that_the_image_was_given() -> None:
    spec = {"ports": [{"name": "health", "containerPort": 8080}]}
    assert pod_status.probe_url({"port": "health", "path": "/readyz"}, spec, None) == "http://127.0.0.1:8080/readyz"
    assert pod_status.probe_url({"port": 8081}, spec, None) == "http://127.0.0.1:8081/"
    assert pod_status.probe_url({"port": "health"}, spec, 45001) == "http://127.0.0.1:45001/"
