"""Objects as the API server gives them, whole and in parts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from rise_contracts.messages import JobId
from rise_contracts.status import RelayJobStatus
from rise_operator import seen
from rise_operator.api import Object
from rise_operator.seen import Trouble
from tests.unit.operator.builders import (
    NOW,
    READY,
    UID,
    family_body,
    job,
    job_body,
    meta,
    pod,
    pod_body,
    pool,
    pool_body,
)

JOB_ID: TypeAdapter[str] = TypeAdapter(JobId)


def ended(kind: str, **more: Any) -> dict[str, Any]:
    """The status of a job that is over."""
    condition = {
        "type": kind, "status": "True", "reason": "Completed", "lastTransitionTime": "2027-01-15T08:00:00Z",
        "observedGeneration": 1,
    }  # fmt: skip
    return {"conditions": [condition], "jobId": "job-7", **more}


class TestJobs:
    def test_one_without_a_status_is_new(self) -> None:
        found = seen.job(job_body())
        assert (found.finished, found.problem, found.status) == (False, "", RelayJobStatus())
        assert found.spec is not None and found.spec.prompt == "a red circle"
        assert found.meta == seen.Meta("default", "job", UID, 1, "1", NOW, deleting=False)

    def test_one_that_is_about_to_go_is_seen_as_such(self) -> None:
        assert job(metadata=meta(deletionTimestamp="2027-01-15T08:00:00Z")).meta.deleting

    def test_what_metadata_lacks_has_a_value(self) -> None:
        found = seen.job(job_body(metadata={"name": "job", "uid": UID, "resourceVersion": "1"}))
        assert found.meta == seen.Meta("", "job", UID, 0, "1", 0.0, deleting=False)

    @pytest.mark.parametrize(
        ("spec", "problem"),
        [
            (None, "spec: wanted"),
            ({}, "spec.prompt: wanted field required"),
            ({"prompt": "x", "images": 99}, "spec.images: wanted at most 16"),
            ({"prompt": "x", "surprise": 1}, "spec.surprise: wanted"),
            ({"prompt": "x", "relay": {"mode": "Fixed"}}, "spec.relay: wanted mode Fixed needs at least one stage"),
            ([], "spec: wanted"),
        ],
    )
    def test_a_spec_that_makes_no_sense_is_told_in_a_line(self, spec: object, problem: str) -> None:
        found = seen.job({"metadata": meta(), "spec": spec})
        assert found.spec is None
        assert found.problem.startswith(problem)
        assert "\n" not in found.problem

    @pytest.mark.parametrize("status", [None, {}, {"phase": "Asleep"}, {"later": 1}, {"conditions": "none"}])
    def test_a_status_that_cannot_be_read_is_none(self, status: Any) -> None:
        assert seen.job({**job_body(), "status": status}).status == RelayJobStatus()

    @pytest.mark.parametrize("kind", ["Complete", "Failed"])
    def test_of_a_finished_one_little_is_kept(self, kind: str) -> None:
        status = ended(kind, completionTime="2027-01-15T08:00:05Z", progress="2/2", attempt=3)
        elsewhere = {"managed_by": "example.com/other", "ttl_seconds_after_finished": 60.0}
        found = seen.job(job_body(status, ttlSecondsAfterFinished=60, managedBy=elsewhere["managed_by"]))
        assert found.finished_at == seen.timestamp("2027-01-15T08:00:05Z")
        assert (found.spec, found.status) == (None, RelayJobStatus(job_id="job-7"))
        assert (found.ttl_s, found.managed_by, found.job_id) == (60.0, "example.com/other", "job-7")

    def test_one_that_does_not_say_when_it_finished_counts_from_its_creation(self) -> None:
        assert seen.job(job_body(ended("Complete"))).finished_at == NOW

    def test_a_condition_that_is_false_ends_nothing(self) -> None:
        status = ended("Failed")
        status["conditions"][0]["status"] = "False"
        assert not seen.job(job_body(status)).finished


class TestJobIds:
    def test_each_object_has_its_own(self) -> None:
        one, other = job(), job(metadata=meta(uid="another"))
        assert one.job_id.startswith("job-")
        assert one.job_id != other.job_id
        assert one.job_id == job(seed=3).job_id

    def test_the_same_key_in_the_same_namespace_is_the_same_job(self) -> None:
        one = job(idempotencyKey="order-1")
        twin = job(metadata=meta("twin", uid="another"), idempotencyKey="order-1")
        elsewhere = job(metadata=meta(namespace="other"), idempotencyKey="order-1")
        assert one.job_id == twin.job_id
        assert len({one.job_id, elsewhere.job_id, job(idempotencyKey="order-2").job_id}) == 3

    def test_a_name_and_a_namespace_do_not_run_into_a_key(self) -> None:
        assert job(metadata=meta(namespace="a"), idempotencyKey="b/c").job_id != (
            job(metadata=meta(namespace="b"), idempotencyKey="a/c").job_id
        )

    def test_what_the_status_says_counts(self) -> None:
        assert job(RelayJobStatus(job_id="job-of-old"), idempotencyKey="order-1").job_id == "job-of-old"

    @given(
        st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", fullmatch=True),
        st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)),
    )
    def test_all_are_names_on_the_bus(self, name: str, key: str | None) -> None:
        found = job(metadata=meta(name), idempotencyKey=key)
        assert JOB_ID.validate_python(found.job_id) == found.job_id


class TestPods:
    def test_one_that_is_ready_has_no_trouble(self) -> None:
        found = pod("edge-1")
        assert (found.ready, found.trouble, found.pool, found.tier, found.node) == (
            True,
            None,
            "edge",
            "edge",
            "node-1",
        )

    def test_one_that_was_only_just_made_says_nothing(self) -> None:
        body = pod_body("edge-1")
        del body["spec"], body["status"], body["metadata"]["labels"]
        found = seen.pod(body)
        assert (found.ready, found.trouble, found.pool, found.node, found.deletion_cost) == (False, None, "", "", "")

    def test_what_it_costs_to_delete_it_is_read(self) -> None:
        body = pod_body("edge-1", annotations={"controller.kubernetes.io/pod-deletion-cost": "100"})
        assert seen.pod(body).deletion_cost == "100"

    @pytest.mark.parametrize(
        ("state", "trouble"),
        [
            ({"waiting": {"reason": "ContainerCreating"}}, None),
            ({"waiting": {"reason": "PodInitializing"}}, None),
            ({"running": {}}, None),
            (None, None),
            ({"waiting": {"reason": "ErrImagePull", "message": "not found"}}, Trouble("Image", "stage:1: not found")),
            ({"waiting": {"reason": "InvalidImageName"}}, Trouble("Image", "stage:1: InvalidImageName")),
            ({"waiting": {"reason": "CreateContainerConfigError"}}, Trouble("Config", "CreateContainerConfigError")),
            ({"terminated": {"exitCode": 0}}, None),
            (
                {"terminated": {"exitCode": 2, "message": "loading\nrise_stage: no\n"}},
                Trouble("Failing", "rise_stage: no"),
            ),
            (
                {"terminated": {"exitCode": 2, "message": '{"reason":"LatentsDiffer","message":"member a: no"}\n'}},
                Trouble("Failing", "member a: no", "LatentsDiffer"),
            ),
            ({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, Trouble("Failing", "OOMKilled")),
            ({"terminated": {"exitCode": 3, "message": " \n"}}, Trouble("Failing", "exit code 3")),
        ],
    )
    def test_why_it_is_not_ready_is_told_in_the_words_of_who_knows(self, state: Any, trouble: Trouble | None) -> None:
        status = {"containerStatuses": [{"image": "stage:1", "state": state}]}
        assert pod("edge-1", status=status).trouble == trouble

    def test_one_that_starts_again_says_what_it_died_of(self) -> None:
        died = {"terminated": {"exitCode": 2, "message": "rise_stage: the bus is away"}}
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
        status = {"containerStatuses": [{"state": waiting, "lastState": died}]}
        assert pod("edge-1", status=status).trouble == Trouble("Failing", "rise_stage: the bus is away")

    def test_one_without_a_node_says_what_the_scheduler_said(self) -> None:
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
        assert pod("edge-1", status={"conditions": [condition]}).trouble == Trouble("Unschedulable", "0/3 nodes")
        del condition["message"]
        assert pod("edge-1", status={"conditions": [condition]}).trouble == Trouble("Unschedulable", "Unschedulable")

    def test_long_last_words_are_cut(self) -> None:
        status = {"containerStatuses": [{"state": {"terminated": {"exitCode": 1, "message": "x" * 5000}}}]}
        trouble = pod("edge-1", status=status).trouble
        assert trouble is not None and len(trouble.text) == 1000

    def test_trouble_that_is_over_is_none(self) -> None:
        died = {"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 2}}}
        assert pod("edge-1", status={**READY, "containerStatuses": [died]}).trouble is None


class TestTheOthers:
    def test_a_pool_is_read_or_its_problem_told(self) -> None:
        assert pool(replicas=3).spec is not None
        broken = seen.pool(pool_body(replicas=-1))
        assert (broken.spec, broken.problem) == (None, "spec.replicas: wanted at least 0")

    def test_a_family_is_read_or_its_problem_told(self) -> None:
        found = seen.family(family_body())
        assert found.family is not None and found.family.metadata.name == "tiny"
        assert found.meta.key == ("", "tiny")
        broken = seen.family(family_body(members=[]))
        assert broken.family is None and broken.problem.startswith("spec.members: wanted")
        odd = seen.family(family_body("has.dots"))
        assert odd.family is None and odd.problem.startswith("metadata.name: wanted")

    def test_a_deployment_without_our_digest_is_another_than_ours(self) -> None:
        found = seen.deployment({"metadata": meta("rise-edge", "rise")})
        assert (found.digest, found.replicas) == ("", 1)
        body = {"metadata": meta(annotations={"rise-relay.io/digest": "d"}), "spec": {"replicas": 0}}
        assert (seen.deployment(body).digest, seen.deployment(body).replicas) == ("d", 0)

    @pytest.mark.parametrize(
        ("condition", "refused"),
        [
            ({"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}, "exceeded quota"),
            ({"type": "ReplicaFailure", "status": "True"}, ""),
            ({"type": "ReplicaFailure", "status": "False", "message": "once"}, ""),
            ({"type": "Progressing", "status": "True", "message": "on it"}, ""),
        ],
    )
    def test_a_deployment_that_may_make_no_pods_says_why(self, condition: Object, refused: str) -> None:
        body = {"metadata": meta("rise-edge", "rise"), "status": {"conditions": [condition]}}
        assert seen.deployment(body).refused == refused

    @pytest.mark.parametrize("text", [None, ""])
    def test_no_time_is_none(self, text: str | None) -> None:
        assert seen.timestamp(text) is None

    @pytest.mark.parametrize(
        "text", ["1970-01-01T00:00:01Z", "1970-01-01T01:00:01+01:00", "1970-01-01T00:00:01.000000Z"]
    )
    def test_a_time_is_the_same_in_all_its_spellings(self, text: str) -> None:
        assert seen.timestamp(text) == 1.0
