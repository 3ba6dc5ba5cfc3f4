"""Carrying out what is planned for a StagePool."""

from __future__ import annotations

from rise_operator.api import DEPLOYMENTS, PODS, STAGE_POOLS, Api, ApiError, Object
from rise_operator.lease import Election
from rise_operator.pools.plan import PoolPlan, plan_pool
from rise_operator.seen import SeenPool
from rise_operator.world import World


class PoolReconciler:
    def __init__(self, api: Api, world: World, election: Election) -> None:
        self._api, self._world, self._election = api, world, election

    async def pool(self, namespace: str, name: str) -> float | None:
        """Bring one StagePool a step further. Raises ApiError, NotLeader."""
        pool = self._world.pools.get((namespace, name))
        if pool is None:
            return None
        planned = plan_pool(self._world.pool(pool))
        await self._costs(planned)
        if planned.deployment is not None:
            await self._deploy(pool, planned.deployment)
        if planned.status is not None and planned.status != pool.status:
            self._election.check()
            status = planned.status.model_dump(mode="json", by_alias=True, exclude_none=True)
            body: Object = {"metadata": {"resourceVersion": pool.meta.resource_version}, "status": status}
            self._world.see_pool(await self._api.merge(STAGE_POOLS, namespace, name, body, subresource="status"))
        return None

    async def _costs(self, planned: PoolPlan) -> None:
        for wanted in planned.costs:
            self._election.check()
            annotations = {"controller.kubernetes.io/pod-deletion-cost": wanted.cost}
            meta = wanted.pod.meta
            try:
                await self._api.merge(PODS, meta.namespace, meta.name, {"metadata": {"annotations": annotations}})
            except ApiError as error:
                if error.status != 404:
                    raise

    async def _deploy(self, pool: SeenPool, body: Object) -> None:
        """Apply the Deployment. A refusal is the user's to read, in the pool's status."""
        self._election.check()
        key, meta = pool.meta.key, body["metadata"]
        try:
            applied = await self._api.apply(DEPLOYMENTS, meta["namespace"], meta["name"], body)
        except ApiError as error:
            if error.retriable:
                raise
            if self._world.refused.get(key) != str(error):
                self._world.refused[key] = str(error)
                self._world.see_pool_again(key)
        else:
            self._world.refused.pop(key, None)
            self._world.see_deployment(applied)
