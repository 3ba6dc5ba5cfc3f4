"""StagePools: what is done about them, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_contracts.status import PoolReason, StagePoolStatus
from rise_operator import seen
from rise_operator.pools.plan import BUSY_COST, ObservedPool, PoolPlan, plan_pool
from rise_operator.pools.pods import deployment
from rise_operator.seen import SeenDeployment, SeenPod, Trouble
from rise_operator.settings import StageDefaults
from tests.unit.operator import builders as make
from tests.unit.operator.builders import HOME, NOW

DEFAULTS = StageDefaults()


def world(*pods: SeenPod, deployed: bool = True, **spec: Any) -> ObservedPool:
    """A pool as it is wanted, with these pods and a worker that takes work in each."""
    pool = make.pool(**spec)
    made = None
    if deployed and pool.spec is not None:
        body = deployment(pool.meta, pool.spec, DEFAULTS, HOME)
        made = seen.deployment({**body, "metadata": {**make.meta("rise-edge", HOME), **body["metadata"]}})
    beats = tuple(make.beat(pod.meta.name) for pod in pods)
    return ObservedPool(pool, NOW, DEFAULTS, HOME, deployment=made, pods=pods, workers=beats)


def ready(seen: ObservedPool) -> tuple[str, str, str]:
    status = plan_pool(seen).status
    assert status is not None
    (condition,) = status.conditions
    return condition.status, condition.reason, condition.message


def troubled(name: str, kind: Any, text: str) -> SeenPod:
    return replace(make.pod(name, status={}), trouble=Trouble(kind, text))


class TestDeployments:
    def test_one_that_is_not_there_is_applied(self) -> None:
        plan = plan_pool(world(deployed=False))
        assert plan.deployment is not None
        assert plan.deployment["metadata"]["name"] == "rise-edge"

    def test_one_that_is_as_it_should_be_is_left_alone(self) -> None:
        assert plan_pool(world()).deployment is None

    def test_one_that_was_changed_by_somebody_else_is_put_right(self) -> None:
        seen_now = world(replicas=2)
        assert seen_now.deployment is not None
        for change in ({"replicas": 5}, {"digest": "another"}):
            plan = plan_pool(replace(seen_now, deployment=replace(seen_now.deployment, **change)))
            assert plan.deployment is not None and plan.deployment["spec"]["replicas"] == 2

    def test_a_changed_pool_or_default_is_applied(self) -> None:
        seen_now = world()
        assert plan_pool(replace(seen_now, pool=make.pool(threads=2))).deployment is not None
        assert plan_pool(replace(seen_now, defaults=StageDefaults(image="stage:2"))).deployment is not None

    def test_a_pool_that_goes_takes_its_deployment_along_by_itself(self) -> None:
        going = make.pool(metadata=make.meta("edge", HOME, deletionTimestamp="2027-01-15T08:00:00Z"))
        assert plan_pool(replace(world(), pool=going)) == PoolPlan()

    def test_a_pool_that_makes_no_sense_says_so_and_keeps_what_it_has(self) -> None:
        plan = plan_pool(world(replicas=-1))
        assert plan.deployment is None
        assert ready(world(replicas=-1)) == ("False", "InvalidSpec", "spec.replicas: wanted at least 0")


class TestCosts:
    def plan(self, replicas: int, *pods: SeenPod, busy: str = "edge-1") -> PoolPlan:
        shrinking = replace(world(*pods, replicas=replicas), deployment=SeenDeployment(make.pool().meta, "old", 2))
        workers = tuple(make.beat(pod.meta.name, busy_jobs=("j",) * (pod.meta.name == busy)) for pod in pods)
        return plan_pool(replace(shrinking, workers=workers))

    def test_of_a_pool_that_shrinks_the_workers_at_work_go_last(self) -> None:
        costs = self.plan(1, make.pod("edge-1"), make.pod("edge-2")).costs
        assert [(cost.pod.meta.name, cost.cost) for cost in costs] == [("edge-1", BUSY_COST)]

    def test_who_is_idle_again_is_cheap_again(self) -> None:
        annotations = {"controller.kubernetes.io/pod-deletion-cost": BUSY_COST}
        was_busy = make.pod("edge-2", annotations=annotations)
        costs = self.plan(1, make.pod("edge-1"), was_busy).costs
        assert [(cost.pod.meta.name, cost.cost) for cost in costs] == [("edge-1", BUSY_COST), ("edge-2", "0")]

    def test_a_pool_that_stays_or_grows_is_not_written_to(self) -> None:
        assert self.plan(2, make.pod("edge-1")).costs == ()
        assert self.plan(3, make.pod("edge-1")).costs == ()


class TestStatus:
    def test_ready_is_a_pod_that_is_ready_with_a_worker_that_takes_work(self) -> None:
        pods = make.pod("edge-1"), make.pod("edge-2")
        assert ready(world(*pods, replicas=2)) == ("True", "Ready", "2 of 2 workers take work")
        silent = replace(world(*pods, replicas=2), workers=(make.beat("edge-1"),))
        assert ready(silent) == ("False", "Loading", "1 of 2 workers take work")
        loading = replace(silent, workers=(make.beat("edge-1"), make.beat("edge-2", ready=False)))
        assert ready(loading)[1] == "Loading"
        unready = world(make.pod("edge-1"), make.pod("edge-2", status={}), replicas=2)
        assert ready(unready)[:2] == ("False", "Loading")

    def test_none_wanted_is_as_it_should_be(self) -> None:
        assert ready(world(replicas=0)) == ("True", "ScaledToZero", "no worker is wanted")

    def test_without_a_pod_yet_it_waits_for_them(self) -> None:
        assert ready(world()) == ("False", "PodsPending", "0 of 1 workers take work")

    def test_pods_that_go_are_not_counted(self) -> None:
        going = make.pod("edge-1", deletionTimestamp="2027-01-15T08:00:00Z")
        status = plan_pool(world(going)).status
        assert status is not None
        assert (status.replicas, status.ready_replicas, status.nodes) == (0, 0, ())

    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("Unschedulable", "NoNode"),
            ("Image", "ImageUnavailable"),
            ("Config", "SecretMissing"),
            ("Failing", "WorkerFailing"),
            ("Waiting", "PodsPending"),
        ],
    )
    def test_the_trouble_of_a_pod_is_the_pools(self, kind: str, reason: str) -> None:
        status, found, message = ready(world(troubled("edge-2", kind, "why"), troubled("edge-3", "Waiting", "later")))
        assert (status, found) == ("False", reason)
        assert message.startswith("edge-2: why")

    def test_a_node_that_lacks_is_described(self) -> None:
        resources = {"limits": {"nvidia.com/gpu": "1"}}
        message = ready(world(troubled("edge-1", "Unschedulable", "0/3 nodes"), resources=resources))[2]
        assert message.endswith("a node is needed with the label rise-relay.io/tier=edge and 1 nvidia.com/gpu free")

    @pytest.mark.parametrize(
        ("namespace", "hub", "hint"),
        [
            (HOME, "", "; in namespace rise its pods read the Secret bus and ca"),
            (HOME, "hub", "; in namespace rise its pods read the Secret bus and ca and hub"),
            ("team", "", "; in namespace team its pods read the Secret bus and ca: kubectl get secret bus -n rise"),
        ],
    )
    def test_a_secret_that_is_missing_is_told_with_where_it_belongs(self, namespace: str, hub: str, hint: str) -> None:
        more: dict[str, Any] = {"hubTokenSecret": hub} if hub else {}
        pool = make.pool(namespace=namespace, **more)
        known = StageDefaults(nats_edge_secret="bus", nats_ca_secret="ca")
        for kind, text in (
            ("Config", 'secret "hub" not found'),
            ("Failing", "NATS at nats://a:4222: the server does not accept this connection without an identity; give"),
        ):
            found = ready(replace(world(troubled("edge-1", kind, text)), pool=pool, defaults=known))
            assert found[1] == "SecretMissing" and f"edge-1: {text}{hint}" in found[2]

    @pytest.mark.parametrize(
        ("account", "hint"), [("rise-stage", "kubectl create serviceaccount rise-stage -n rise"), ("", "not found")]
    )
    def test_pods_that_the_api_server_refuses_are_told_in_its_words(self, account: str, hint: str) -> None:
        seen_now = replace(world(), defaults=StageDefaults(service_account=account))
        assert seen_now.deployment is not None
        text = 'error looking up service account: serviceaccount "rise-stage" not found'
        refused = replace(seen_now, deployment=replace(seen_now.deployment, refused=text))
        status, reason, message = ready(refused)
        assert (status, reason) == ("False", "Forbidden")
        assert message.startswith(text) and message.endswith(hint)
        other = replace(seen_now, deployment=replace(seen_now.deployment, refused="exceeded quota"))
        assert ready(other) == ("False", "Forbidden", "exceeded quota")

    def test_a_family_that_cannot_be_used_comes_before_the_pods_and_a_refusal_before_all(self) -> None:
        lacks = replace(world(), missing=(PoolReason.FAMILY_NOT_FOUND, "there is no ModelFamily 'tiny'"))
        assert ready(lacks)[1] == "FamilyNotFound"
        assert ready(replace(lacks, refused="exceeded quota"))[1:] == ("Forbidden", "exceeded quota")
        working = replace(world(make.pod("edge-1")), missing=lacks.missing)
        assert ready(working)[1] == "Ready", "workers that have it go on"

    def test_what_is_loaded_and_where_and_who_is_busy(self) -> None:
        seen_now = world(make.pod("edge-1"), make.pod("edge-2"), replicas=2)
        busy = make.beat("edge-2", members=("small", "large"), busy_jobs=("j", "k"))
        status = plan_pool(replace(seen_now, workers=(make.beat("edge-1"), busy))).status
        assert status is not None
        assert (status.members, status.nodes, status.busy_replicas) == (("large", "small"), ("node-1",), 1)
        assert status.selector == "app.kubernetes.io/managed-by=rise-operator,rise-relay.io/pool=edge"

    def test_workers_that_hold_a_great_deal_do_not_keep_the_status_from_being_written(self) -> None:
        many = make.beat("edge-1", members=tuple(f"m{number}" for number in range(40)))
        pods = [replace(make.pod(f"edge-{number}"), node=f"n{number}") for number in range(70)]
        status = plan_pool(replace(world(*pods), workers=(many,))).status
        assert status is not None
        assert StagePoolStatus.model_validate(make.written(status)) == status  # type: ignore[arg-type]

    def test_the_same_seen_again_is_no_news(self) -> None:
        seen_now = world(make.pod("edge-1"), replicas=2)
        status = plan_pool(seen_now).status
        assert status is not None
        body = {**make.pool_body(replicas=2), "status": status.model_dump(mode="json", by_alias=True)}
        later = replace(seen_now, pool=seen.pool(body), now=NOW + 60)
        assert plan_pool(later).status == later.pool.status


REASONS = {reason.value for reason in PoolReason}


@given(
    st.integers(0, 3),
    st.lists(
        st.sampled_from(["ready", "loading", "Unschedulable", "Image", "Config", "Failing", "Waiting"]), max_size=3
    ),
    st.booleans(),
    st.sampled_from(["", "no", "x" * 3000]),
)
def test_whatever_happens_there_is_one_condition_with_a_reason_of_the_list(
    replicas: int, states: list[str], missing: bool, refused: str
) -> None:
    pods = [
        make.pod(f"edge-{number}", status=make.READY if state == "ready" else {})
        if state in ("ready", "loading")
        else troubled(f"edge-{number}", state, refused)
        for number, state in enumerate(states)
    ]
    lacks = (PoolReason.FAMILY_REFUSED, refused) if missing else None
    plan = plan_pool(replace(world(*pods, replicas=replicas), missing=lacks, refused=refused))
    assert plan.status is not None
    (condition,) = plan.status.conditions
    assert condition.reason in REASONS
    assert (condition.status == "True") == (condition.reason in ("Ready", "ScaledToZero"))
    assert condition.observed_generation == plan.status.observed_generation == 1
    assert StagePoolStatus.model_validate(plan.status.model_dump(by_alias=True)) == plan.status
