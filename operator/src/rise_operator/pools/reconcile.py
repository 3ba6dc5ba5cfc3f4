"""Carrying out what is planned for a StagePool."""

from __future__ import annotations

from rise_operator.api import DEPLOYMENTS, PODS, STAGE_POOLS, Api, ApiError, Object
from rise_operator.lease import Election
from rise_operator.pools.plan import PoolPlan, plan_pool
from rise_operator.seen import DELETION_COST, SeenPool
from rise_operator.statuses import write_status
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
            self._world.see_pool(await write_status(self._api, STAGE_POOLS, pool.meta, planned.status))
        return None

    async def _costs(self, planned: PoolPlan) -> None:
        for wanted in planned.costs:
            self._election.check()
            annotations = {DELETION_COST: wanted.cost}
            meta = wanted.pod.meta
            try:
                await self._api.merge(PODS, meta.namespace, meta.name, {"metadata": {"annotations": annotations}})
            except ApiError as error:
                if error.status != 404:
                    raise

    async def _deploy(self, pool: SeenPool, body: Object) -> None:
        """Apply the Deployment. A refusal is the user's to read, in the pool's status."""
        self._election.check()
        meta = body["metadata"]
        try:
            applied = await self._api.apply(DEPLOYMENTS, meta["namespace"], meta["name"], body)
        except ApiError as error:
            if error.retriable:
                raise
            self._world.refuse_pool(pool.meta.key, str(error))
        else:
            self._world.refuse_pool(pool.meta.key, "")
            self._world.see_deployment(applied)
