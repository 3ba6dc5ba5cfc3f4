"""RelayJobs on a real API server: what a user of Kubernetes' own Jobs expects of them, with the embedded family."""

from __future__ import annotations

import io
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rise_shapes
from rise_contracts import manifest
from rise_contracts.resources import LatentContract
from rise_shapes import grammar, judge
from tests.cluster.rise import PICTURE, ROOT, Rise, condition, job_id
from tests.kube import assets
from tests.kube.clusters import Cluster
from tests.kube.kubectl import until
from tests.kube.process_node import ProcessNode

SLOW = {"mode": "Fixed", "stages": [{"member": "large", "tier": "edge", "steps": 200}]}
"""Two hundred steps of the large member: seconds, in which a job can be met under way."""
ACCOUNT = "rise-stage"
MANY: dict[str, Any] = {"relay": SLOW, "images": 4}


def pool(name: str, tier: str, **more: Any) -> dict[str, Any]:
    spec = {"tier": tier, "threads": 1, "replicas": 1, **more}
    return {"apiVersion": "rise-relay.io/v1alpha1", "kind": "StagePool", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def rise(
    cluster: Cluster, edge_1: ProcessNode, device_1: ProcessNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rise]:
    """An installation with an operator and two pools, whose workers are pods."""
    rise = Rise(cluster, tmp_path_factory.mktemp("rise"), "rise")
    try:
        rise.start()
        rise.kubectl.run("create", "serviceaccount", ACCOUNT)
        rise.operator("operator-a", "--resync-seconds=30", f"--stage-service-account={ACCOUNT}")
        rise.kubectl.apply(pool("edge", "edge"), pool("device", "device"))
        for name in ("edge", "device"):
            rise.kubectl.wait(f"stagepool/{name}", "condition=Ready", 240)
        yield rise
    finally:
        rise.kubectl.run("delete", "relayjobs,stagepools", "--all", "--wait=false")
        rise.close()


def fresh(word: str) -> str:
    return f"{word}-{uuid.uuid4().hex[:6]}"


def under_way(rise: Rise, name: str) -> dict[str, Any]:
    return rise.until(name, "HeadDone", "Running")


def is_drawn(rise: Rise, seen: dict[str, Any], prompt: str = PICTURE) -> bool:
    """Whether the picture shows what its prompt says, as the judge finds."""
    picture = Image.open(io.BytesIO(rise.result(job_id(seen)).images[0])).convert("RGB")
    return judge.judge(np.asarray(picture), grammar.parse(prompt)).ok


def test_the_example_of_the_readme_is_drawn(rise: Rise) -> None:
    rise.kubectl.run("apply", "-f", str(ROOT / "examples" / "relayjob.yaml"))
    rise.kubectl.wait("relayjob/first-picture", "condition=Complete", 60)
    seen = rise.job("first-picture")
    status = seen["status"]

    assert is_drawn(rise, seen)
    assert status["observedGeneration"] == seen["metadata"]["generation"]
    assert {each["observedGeneration"] for each in status["conditions"]} == {1}
    assert status["result"]["digest"] == rise.result(job_id(seen)).done.digest
    assert [stage["tier"] for stage in status["stages"]] == ["edge", "device"]
    assert [stage["node"] for stage in status["stages"]] == ["edge-1", "device-1"]
    assert status["bytesHandedOver"] > 0
    # Two events of one second have no order.
    told = until(lambda: sorted(rise.events("first-picture")), lambda found: len(found) == 2, 10, "two events")
    assert told == ["Completed", "Scheduled"]
    assert "finalizers" not in seen["metadata"]


def test_a_job_reads_well(rise: Rise) -> None:
    name = rise.submit(fresh("read"))
    rise.until(name, "Complete")
    wide = rise.kubectl.run("get", "rj", name, "-o", "wide")
    assert all(word in wide for word in ("rise-shapes", "edge-1", "Complete"))
    assert name in rise.kubectl.run("get", "rj", "--field-selector=status.phase=Complete")
    assert "Completed" in rise.kubectl.run("describe", "rj", name)


def test_the_same_job_drawn_twice_is_the_same_picture(rise: Rise) -> None:
    names = [rise.submit(fresh("same")) for _ in range(2)]
    digests = {rise.until(name, "Complete")["status"]["result"]["digest"] for name in names}
    assert len(digests) == 1


def test_a_job_waits_for_its_family_and_runs_once_it_is_there(rise: Rise) -> None:
    family = rise_shapes.family()
    other = family.model_copy(update={"metadata": family.metadata.model_copy(update={"name": fresh("other")})})
    name = rise.submit(fresh("waits"), family=other.metadata.name)
    waiting = condition(rise.until(name, "Scheduled", "FamilyNotFound"), "Scheduled")
    assert waiting is not None
    assert "rise-shapes" in waiting["message"]
    rise.kubectl.apply(manifest.dump(other))
    accepted = rise.until(name, "Scheduled", "NoConfiguration")  # known now, and loaded by no worker
    assert accepted["status"]["phase"] == "Pending"
    rise.kubectl.delete("modelfamily", other.metadata.name)
    rise.kubectl.delete("relayjob", name)


def test_a_job_that_is_suspended_from_the_start_runs_when_it_is_resumed(rise: Rise) -> None:
    name = rise.submit(fresh("asleep"), suspend=True)
    asleep = rise.until(name, "Suspended")
    assert asleep["status"]["phase"] == "Suspended"
    assert job_id(asleep) not in {record.job_id for record in rise.records()}
    rise.kubectl.run("patch", "rj", name, "--type=merge", "-p", '{"spec":{"suspend":false}}')
    done = rise.until(name, "Complete")
    resumed = condition(done, "Suspended")
    assert resumed is not None
    assert (resumed["status"], resumed["reason"]) == ("False", "Resumed")


def test_a_job_suspended_under_way_gives_its_worker_back(rise: Rise) -> None:
    name = rise.submit(fresh("paused"), **MANY)
    under_way(rise, name)
    rise.kubectl.run("patch", "rj", name, "--type=merge", "-p", '{"spec":{"suspend":true}}')
    rise.until(name, "Suspended")
    rise.until(rise.submit(fresh("quick")), "Complete", seconds=20)
    rise.kubectl.run("patch", "rj", name, "--type=merge", "-p", '{"spec":{"suspend":false}}')
    done = rise.until(name, "Complete", seconds=120)
    assert done["status"]["attempt"] == 2
    assert "Resumed" in rise.events(name)


def test_the_time_to_start_is_over(rise: Rise) -> None:
    name = rise.submit(fresh("late"), family="nobody-has-it", startDeadlineSeconds=2)
    failed = condition(rise.until(name, "Failed"), "Failed")
    assert failed is not None
    assert failed["reason"] == "StartDeadlineExceeded"
    assert "FamilyNotFound" in failed["message"]


def test_the_time_to_finish_is_over(rise: Rise) -> None:
    name = rise.submit(fresh("long"), activeDeadlineSeconds=0.3, **MANY)
    failed = condition(rise.until(name, "Failed"), "Failed")
    assert failed is not None
    assert failed["reason"] == "ActiveDeadlineExceeded"


def test_a_finished_job_goes_when_its_time_to_live_is_over(rise: Rise) -> None:
    name = rise.submit(fresh("brief"), ttlSecondsAfterFinished=5)
    identity = job_id(rise.until(name, "Complete"))
    until(lambda: rise.kubectl.exists("rj", name), lambda there: not there, 30, f"{name} deleted")
    until(rise.records, lambda found: identity not in {r.job_id for r in found}, 30, "its record gone")


def test_a_job_that_is_deleted_under_way_leaves_nothing(rise: Rise) -> None:
    name = rise.submit(fresh("gone"), **MANY)
    identity = job_id(under_way(rise, name))
    rise.kubectl.run("delete", "rj", name, "--wait=true", "--timeout=10s")
    until(rise.records, lambda found: identity not in {r.job_id for r in found}, 30, "its record gone")
    rise.until(rise.submit(fresh("next")), "Complete", seconds=20)


def test_one_idempotency_key_is_one_job(rise: Rise) -> None:
    key = fresh("key")
    first, second, third = (fresh(word) for word in ("first", "second", "third"))
    rise.submit(first, idempotencyKey=key)
    rise.submit(second, idempotencyKey=key)
    done = [rise.until(name, "Complete") for name in (first, second)]
    assert job_id(done[0]) == job_id(done[1])
    rise.submit(third, idempotencyKey=key, seed=8)
    refused = rise.until(third, "Failed")
    assert condition(refused, "Accepted")["reason"] == "IdempotencyConflict"  # type: ignore[index]
    rise.kubectl.delete("rj", first)
    rise.kubectl.delete("rj", third)
    assert is_drawn(rise, done[1])


def test_a_job_that_somebody_else_manages_is_left_alone(rise: Rise) -> None:
    other = rise.submit(fresh("theirs"), managedBy="kueue.x-k8s.io/multikueue")
    rise.until(rise.submit(fresh("ours"), managedBy="rise-relay.io/operator"), "Complete")
    assert "status" not in rise.job(other)


def test_a_relay_that_the_family_cannot_run_fails_in_words(rise: Rise) -> None:
    stages = [{"member": "huge", "tier": "edge", "steps": 3}]
    failed = rise.until(rise.submit(fresh("wrong"), relay={"mode": "Fixed", "stages": stages}), "Failed")
    assert "huge" in condition(failed, "Failed")["message"]  # type: ignore[index]


def test_a_job_with_pods_of_its_own(rise: Rise) -> None:
    name = rise.submit(fresh("apart"), placement="Dedicated")
    done = rise.until(name, "Complete", seconds=180)
    workers = [stage["worker"] for stage in done["status"]["stages"]]
    uid = done["metadata"]["uid"]
    assert workers == [f"{name}-{uid[:8]}-edge", f"{name}-{uid[:8]}-device"]
    assert is_drawn(rise, done)
    until(
        lambda: rise.kubectl.list("pods", "-l", f"rise-relay.io/job-uid={uid}"), lambda found: not found, 60, "no pods"
    )


def test_a_pool_grows_and_shrinks(rise: Rise) -> None:
    rise.kubectl.run("scale", "stagepool", "device", "--replicas=2")
    rise.kubectl.until("stagepool", "device", lambda seen: seen["status"].get("readyReplicas") == 2, 120)
    rise.kubectl.run("scale", "stagepool", "device", "--replicas=1")
    rise.kubectl.until("stagepool", "device", lambda seen: seen["status"].get("replicas") == 1, 60)
    rise.until(rise.submit(fresh("after")), "Complete", seconds=30)


@pytest.mark.parametrize(
    ("more", "reason", "words"),
    [
        ({"image": "nobody/has:this"}, "ImageUnavailable", "nobody/has:this"),
        ({"nodeSelector": {"zone": "moon"}}, "NoNode", "rise-relay.io/tier=edge"),
        ({"resources": {"limits": {"nvidia.com/gpu": "8"}}}, "NoNode", "nvidia.com/gpu"),
        ({"family": "nobody-has-it"}, "FamilyNotFound", "rise-shapes"),
        ({"members": ["huge"]}, "WorkerFailing", "huge"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pool_says_what_is_wrong_with_it(rise: Rise, more: dict[str, Any], reason: str, words: str) -> None:
    name = fresh("bad")
    rise.kubectl.apply(pool(name, "edge", **more))
    try:
        seen = rise.kubectl.until(
            "stagepool", name, lambda seen: (condition(seen, "Ready") or {}).get("reason") == reason, 90
        )
        assert words in condition(seen, "Ready")["message"]  # type: ignore[index]
    finally:
        rise.kubectl.delete("stagepool", name)


def test_a_pool_in_another_namespace_says_what_it_lacks_there(rise: Rise, namespace: str) -> None:
    """And each time what it says is done, word for word."""
    there = rise.kubectl.within(namespace)
    there.apply(pool("edge", "edge"))

    def waits_for(reason: str) -> str:
        seen = there.until(
            "stagepool", "edge", lambda seen: (condition(seen, "Ready") or {}).get("reason") == reason, 120
        )
        return str(condition(seen, "Ready")["message"])  # type: ignore[index]

    def do(message: str) -> None:
        command = message[message.index("kubectl ") :]
        kubectl = f'kubectl() {{ "{assets.find("kubectl")}" --kubeconfig "{rise.cluster.kubeconfig}" "$@"; }}'
        subprocess.run(["bash", "-ec", f"{kubectl}\n{command}"], check=True, timeout=60)

    do(waits_for("Forbidden"))
    do(waits_for("SecretMissing"))
    waits_for("Ready")
    there.delete("stagepool", "edge")


def test_a_family_whose_latents_are_not_what_it_says_is_told_so_by_its_workers(rise: Rise) -> None:
    name, family = fresh("wrong"), rise_shapes.family()
    stated = LatentContract(channels=99, downscale=8, scaling_factor=1.0)
    spec = family.spec.model_copy(update={"latent": stated})
    wrong = family.model_copy(update={"metadata": family.metadata.model_copy(update={"name": name}), "spec": spec})
    rise.kubectl.apply(manifest.dump(wrong), pool(name, "edge", family=name))
    try:
        seen = rise.kubectl.until(
            "modelfamily", name, lambda seen: (condition(seen, "Ready") or {}).get("reason") == "LatentsDiffer", 90
        )
        failing = condition(rise.kubectl.get("stagepool", name), "Ready")
        assert failing is not None and failing["reason"] == "WorkerFailing"
        assert "channels=99" in failing["message"]
        assert condition(seen, "Ready")["message"] in failing["message"]  # type: ignore[index]
    finally:
        rise.kubectl.delete("stagepool", name)
        rise.kubectl.delete("modelfamily", name)


def test_a_pool_that_is_deleted_takes_its_pods_along(rise: Rise) -> None:
    name = fresh("brief")
    rise.kubectl.apply(pool(name, "edge"))
    rise.kubectl.until("deployment", f"rise-{name}", lambda seen: seen.get("status", {}).get("replicas") == 1, 60)
    rise.kubectl.delete("stagepool", name)
    until(lambda: rise.kubectl.list("pods", "-l", f"rise-relay.io/pool={name}"), lambda found: not found, 90, "no pods")


def test_a_family_says_who_holds_it(rise: Rise) -> None:
    rise.kubectl.wait("modelfamily/rise-shapes", "condition=Ready", 60)
    seen = rise.kubectl.get("modelfamily", "rise-shapes")
    assert {member["name"]: member["workers"] for member in seen["status"]["members"]}["large"] >= 1
