"""Plans carried out at an API server in memory: what is written, and what is not written again."""

from __future__ import annotations

import copy
from collections import deque
from typing import Any

import pytest

from rise_operator.api import DEPLOYMENTS, PODS, RELAY_JOBS, STAGE_POOLS, ApiError, Kind, Object
from rise_operator.jobs.reconcile import JobReconciler
from rise_operator.lease import Election, NotLeader
from rise_operator.pools.reconcile import PoolReconciler
from rise_operator.recorder import Recorder
from rise_operator.settings import Settings
from rise_operator.world import Item, World
from rise_runtime.bus import Bus
from tests.unit.operator import builders as make
from tests.unit.operator.api import Memory
from tests.unit.operator.leading import running, won

SETTINGS = Settings(namespace="rise")


class Server(Memory):
    """Refuses to have Deployments applied for as long as `refusal` says why."""

    def __init__(self) -> None:
        super().__init__()
        self.refusal = ""

    async def apply(
        self, kind: Kind, namespace: str | None, name: str, body: Object, *, manager: str = "", force: bool = True
    ) -> Object:
        if self.refusal:
            self._ask("apply", kind, name)
            raise ApiError("patch", 403, "Forbidden", self.refusal)
        return await super().apply(kind, namespace, name, body)

    def put(self, kind: Kind, body: Object) -> Object:
        body = copy.deepcopy(body)
        self.objects[kind, body["metadata"]["namespace"], body["metadata"]["name"]] = body
        return body

    def asked_to(self, verb: str, kind: Kind) -> int:
        return sum(asked[:2] == (verb, kind) for asked in self.asked)


class Operator:
    """A world with its reconcilers, and the keys that wait to be looked at."""

    def __init__(self, api: Server, election: Election) -> None:
        self.api, self.waiting = api, deque[Item]()
        self.world = World(SETTINGS, self.waiting.append)
        self.recorder = Recorder(api, "me")
        self.pools = PoolReconciler(api, self.world, election)
        self.jobs = JobReconciler(api, self.bus, self.world, election, self.recorder, SETTINGS)

    def bus(self) -> Bus:
        raise AssertionError("the bus is away, and nobody should ask for it")

    async def settle(self, most: int = 30) -> int:
        """Look at all that waits until nothing does; how many looks that took."""
        looks = 0
        while self.waiting and looks < most:
            item = self.waiting.popleft()
            if item.kind == "pool":
                await self.pools.pool(item.namespace, item.name)
            elif item.kind == "job":
                await self.jobs.job(item.namespace, item.name)
            looks += 1
        assert not self.waiting, f"it is never done: {self.waiting}"
        return looks


async def leading(api: Server, **options: Any) -> Election:
    """A leader whose clock stands still."""
    election = Election(api, "rise", "rise-operator", "me", 3.0, clock=lambda: 0.0)
    async with running(election):
        await won(election)
    api.asked.clear()
    return election


@pytest.fixture
async def operator() -> Operator:
    api = Server()
    return Operator(api, await leading(api))


class TestPools:
    def reason(self, operator: Operator) -> str:
        status = operator.world.pools["rise", "edge"].status
        (condition,) = status.conditions
        return f"{condition.reason}: {condition.message}"

    async def test_a_new_pool_gets_its_deployment_and_then_nothing_more(self, operator: Operator) -> None:
        operator.world.see_pool(operator.api.put(STAGE_POOLS, make.pool_body(replicas=2)))
        await operator.settle()
        deployed = operator.api.objects[DEPLOYMENTS, "rise", "rise-edge"]
        assert deployed["spec"]["replicas"] == 2
        assert self.reason(operator).startswith("FamilyNotFound")
        operator.api.asked.clear()
        operator.world.wake_everything()
        await operator.settle()
        assert operator.api.asked == []

    async def test_a_refusal_is_told_and_not_provoked_again_and_again(self, operator: Operator) -> None:
        operator.api.refusal = "exceeded quota: gpus"
        operator.world.see_pool(operator.api.put(STAGE_POOLS, make.pool_body()))
        await operator.settle()
        assert "Forbidden" in self.reason(operator) and "exceeded quota: gpus" in self.reason(operator)
        assert operator.api.asked_to("apply", DEPLOYMENTS) <= 5
        operator.api.refusal = ""
        operator.world.wake_everything()
        await operator.settle()
        assert operator.api.objects[DEPLOYMENTS, "rise", "rise-edge"]
        assert "Forbidden" not in self.reason(operator)

    async def test_costs_are_written_before_the_pool_shrinks(self, operator: Operator) -> None:
        labels = {"rise-relay.io/pool": "edge", "rise-relay.io/tier": "edge"}
        operator.world.see_pool(operator.api.put(STAGE_POOLS, make.pool_body(replicas=2)))
        for name in ("edge-1", "edge-2"):
            operator.world.see_pod(operator.api.put(PODS, make.pod_body(name, labels=labels)))
        operator.world.see_workers((make.beat("edge-1", busy_jobs=("j",)), make.beat("edge-2")))
        await operator.settle()
        operator.api.asked.clear()
        smaller = copy.deepcopy(operator.api.objects[STAGE_POOLS, "rise", "edge"])
        smaller["spec"]["replicas"] = 1
        operator.world.see_pool(operator.api.put(STAGE_POOLS, smaller))
        await operator.settle()
        writes = [asked[:2] for asked in operator.api.asked if asked[1] in (PODS, DEPLOYMENTS)]
        assert writes[:2] == [("merge", PODS), ("apply", DEPLOYMENTS)]
        cost = operator.api.objects[PODS, "rise", "edge-1"]["metadata"]["annotations"]
        assert cost == {"controller.kubernetes.io/pod-deletion-cost": "100"}


class TestJobs:
    def told(self, operator: Operator) -> Object:
        status: Object = operator.api.objects[RELAY_JOBS, "default", "job"]["status"]
        return status

    async def test_a_job_without_a_bus_is_told_to_wait_once(self, operator: Operator) -> None:
        operator.world.see_job(operator.api.put(RELAY_JOBS, make.job_body()))
        await operator.settle()
        assert [c["reason"] for c in self.told(operator)["conditions"]] == ["Accepted", "BusUnavailable"]
        operator.world.wake_everything()
        await operator.settle()
        assert operator.api.asked_to("merge", RELAY_JOBS) == 1

    async def test_what_was_seen_too_long_ago_is_not_written_over_what_is_there(self, operator: Operator) -> None:
        operator.world.see_job(operator.api.put(RELAY_JOBS, make.job_body()))
        newer = operator.api.put(RELAY_JOBS, make.job_body(metadata=make.meta(generation=2, resourceVersion="77")))
        newer["spec"]["suspend"] = True
        await operator.settle()
        assert operator.world.jobs["default", "job"].meta.generation == 2
        assert self.told(operator)["observedGeneration"] == 2
        assert self.told(operator)["phase"] == "Suspended"
        assert operator.api.asked_to("merge", RELAY_JOBS) == 2

    async def test_a_job_that_is_gone_meanwhile_is_no_error(self, operator: Operator) -> None:
        operator.world.see_job(make.job_body())
        await operator.settle()
        assert operator.api.asked_to("merge", RELAY_JOBS) == 1

    async def test_a_job_that_makes_no_sense_is_ended(self, operator: Operator) -> None:
        operator.world.see_job(operator.api.put(RELAY_JOBS, make.job_body(images=99)))
        await operator.settle()
        assert self.told(operator)["phase"] == "Failed"
        assert self.told(operator)["completionTime"]

    async def test_only_the_object_that_ended_is_deleted_when_its_time_is_over(self, operator: Operator) -> None:
        ended = {"type": "Complete", "status": "True", "reason": "Completed", "observedGeneration": 1}
        ended["lastTransitionTime"] = "2026-01-15T08:00:00Z"
        status = {"conditions": [ended], "completionTime": "2026-01-15T08:00:00Z"}
        over = make.job_body(status, ttlSecondsAfterFinished=60)
        operator.world.see_job(operator.api.put(RELAY_JOBS, over))
        anew = operator.api.put(RELAY_JOBS, make.job_body(metadata=make.meta(uid="another")))
        await operator.settle()
        assert operator.api.objects[RELAY_JOBS, "default", "job"] == anew
        operator.api.put(RELAY_JOBS, over)
        operator.world.wake_everything()
        await operator.settle()
        assert (RELAY_JOBS, "default", "job") not in operator.api.objects


async def test_who_does_not_lead_any_more_writes_nothing() -> None:
    now = [0.0]
    api = Server()
    election = Election(api, "rise", "rise-operator", "me", 3.0, clock=lambda: now[0])
    async with running(election):
        await won(election)
    operator = Operator(api, election)
    operator.world.see_job(api.put(RELAY_JOBS, make.job_body()))
    operator.world.see_pool(api.put(STAGE_POOLS, make.pool_body()))
    now[0] += 2.0
    api.writes, api.asked = 0, []
    for look in (operator.jobs.job("default", "job"), operator.pools.pool("rise", "edge")):
        with pytest.raises(NotLeader):
            await look
    assert api.asked == []
