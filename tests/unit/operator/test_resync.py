"""Looking at everything: what the watch did not bring, and who else cares for the same namespaces."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rise_contracts.errors import InvalidInput
from rise_operator.api import (
    DEPLOYMENTS,
    LEASES,
    MODEL_FAMILIES,
    PODS,
    RELAY_JOBS,
    STAGE_POOLS,
    Api,
    ApiError,
    Kind,
    Object,
)
from rise_operator.lease import LABELS, WATCHES, Election
from rise_operator.resync import STALE_S, check_alone, resync
from rise_operator.seen import MANAGED_BY, MANAGED_LABEL, POOL_LABEL
from rise_operator.settings import Settings
from rise_operator.world import Item, World
from tests.unit.operator import builders as make
from tests.unit.operator.api import Memory

ALL = Settings(namespace="rise")
OURS = {MANAGED_LABEL: MANAGED_BY, POOL_LABEL: "edge"}


def filled() -> Memory:
    """An API server with one object of each kind, and a pod that is none of ours."""
    api = Memory()
    for kind, body in (
        (RELAY_JOBS, make.job_body()),
        (STAGE_POOLS, make.pool_body()),
        (MODEL_FAMILIES, make.family_body()),
        (PODS, make.pod_body("edge-1", labels=OURS)),
        (PODS, make.pod_body("stranger", labels={"app": "other"})),
        (DEPLOYMENTS, {"metadata": {**make.meta("rise-edge", "rise"), "labels": OURS}, "spec": {}}),
    ):
        body = copy.deepcopy(body)
        api.objects[kind, body["metadata"].get("namespace", ""), body["metadata"]["name"]] = body
    return api


class TestResync:
    async def look(self, api: Memory, settings: Settings = ALL) -> tuple[World, set[Item]]:
        """What is known after a look, and what is to be looked at for it."""
        woken: set[Item] = set()
        world = World(settings, woken.add)
        await resync(api, world, settings)
        return world, woken

    async def test_all_that_is_ours_is_seen(self) -> None:
        world, woken = await self.look(filled())
        assert set(world.jobs) == {("default", "job")}
        assert (set(world.pools), set(world.deployments)) == ({("rise", "edge")}, {("rise", "rise-edge")})
        assert set(world.pods) == {("rise", "edge-1")}
        assert set(world.families) == {"tiny"}
        assert {Item("job", "default", "job"), Item("pool", "rise", "edge"), Item("family", "", "tiny")} <= woken

    async def test_what_is_gone_is_forgotten(self) -> None:
        api = filled()
        world, woken = await self.look(api)
        job = world.jobs["default", "job"]
        api.objects.clear()
        woken.clear()
        await resync(api, world, ALL)
        assert not (world.jobs or world.pools or world.pods or world.families or world.deployments)
        assert Item("record", job.meta.uid, job.job_id) in woken, "its record is to be cleared up"

    async def test_a_job_that_was_made_anew_under_its_name_is_another(self) -> None:
        api = filled()
        world, woken = await self.look(api)
        old = world.jobs["default", "job"]
        api.objects[RELAY_JOBS, "default", "job"]["metadata"] |= {"uid": "another", "resourceVersion": "2"}
        woken.clear()
        await resync(api, world, ALL)
        assert world.jobs["default", "job"].meta.uid == "another"
        assert Item("record", old.meta.uid, old.job_id) in woken

    async def test_only_the_namespaces_that_are_watched_are_looked_at(self) -> None:
        world, _ = await self.look(filled(), settings=Settings(namespace="rise", watch_namespaces=("rise", "a")))
        assert not world.jobs
        assert set(world.pools) == {("rise", "edge")}
        assert set(world.families) == {"tiny"}, "families are of no namespace"


class Refusing(Memory):
    def __init__(self, status: int, kind: Kind) -> None:
        super().__init__()
        self.status, self.kind = status, kind

    def _ask(self, verb: str, kind: Kind, name: str) -> None:
        super()._ask(verb, kind, name)
        if kind == self.kind:
            raise ApiError(verb, self.status, "Refused", f"{kind.plural} is refused")


class TestWhatTheClusterLacks:
    async def look(self, api: Memory) -> None:
        await resync(api, World(ALL, lambda item: None), ALL)

    async def test_every_kind_is_asked_for_once(self) -> None:
        api = filled()
        await self.look(api)
        asked = [kind for verb, kind, _ in api.asked]
        assert sorted(asked, key=repr) == sorted((RELAY_JOBS, STAGE_POOLS, MODEL_FAMILIES, PODS, DEPLOYMENTS), key=repr)

    @pytest.mark.parametrize("kind", [RELAY_JOBS, STAGE_POOLS, MODEL_FAMILIES], ids=lambda kind: kind.plural)
    async def test_a_definition_that_is_missing_is_named_with_what_to_do(self, kind: Kind) -> None:
        with pytest.raises(InvalidInput, match=f"a definition of {kind.plural}") as caught:
            await self.look(Refusing(404, kind))
        assert "kubectl apply -f crds/" in str(caught.value)

    @pytest.mark.parametrize("status", [401, 403])
    async def test_a_right_that_is_missing_is_named(self, status: int) -> None:
        with pytest.raises(InvalidInput, match="the right to list pods"):
            await self.look(Refusing(status, PODS))

    async def test_a_server_that_is_down_is_another_matter(self) -> None:
        with pytest.raises(ApiError):
            await self.look(Refusing(503, RELAY_JOBS))


class TestAlone:
    def lease(self, watches: str | None, *, holder: str = "other", age_s: float = 1.0, uid: str = "u-9") -> Object:
        renewed = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()
        metadata = make.meta("other-operator", "elsewhere", uid=uid, labels=LABELS)
        if watches is not None:
            metadata["annotations"] = {WATCHES: watches}
        return {"metadata": metadata, "spec": {"holderIdentity": holder, "renewTime": renewed}}

    async def check(self, lease: Object, *ours: str) -> None:
        api = Memory()
        api.objects[LEASES, "elsewhere", "other-operator"] = lease
        election = Election(api, "rise", "rise-operator", "me", 10.0)
        election.uid = "u-1"
        await check_alone(api, Settings(namespace="rise", watch_namespaces=ours), election)

    @pytest.mark.parametrize(
        ("theirs", "ours"), [("", ()), ("", ("a",)), ("a", ()), ("a,b", ("b", "c")), (None, ("a",))]
    )
    async def test_two_that_care_for_the_same_are_one_too_many(self, theirs: str | None, ours: tuple[str, ...]) -> None:
        with pytest.raises(InvalidInput, match="the operator with the lease elsewhere/other-operator is alive"):
            await self.check(self.lease(theirs), *ours)

    async def test_two_that_share_nothing_get_along(self) -> None:
        await self.check(self.lease("a,b"), "c", "d")

    @pytest.mark.parametrize("changes", [{"holder": ""}, {"age_s": STALE_S + 5}, {"uid": "u-1"}])
    async def test_who_is_gone_or_is_ourselves_is_no_other(self, changes: dict[str, Any]) -> None:
        await self.check(self.lease("", **changes))

    async def test_who_may_not_look_at_other_namespaces_does_not(self) -> None:
        api: Api = Refusing(403, LEASES)
        await check_alone(api, ALL, Election(api, "rise", "rise-operator", "me", 10.0))
        down: Api = Refusing(503, LEASES)
        with pytest.raises(ApiError):
            await check_alone(down, ALL, Election(down, "rise", "rise-operator", "me", 10.0))
