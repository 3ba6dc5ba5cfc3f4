"""Making ModelFamilies known on the bus, and saying in their status who holds them."""

from __future__ import annotations

from collections.abc import Callable

from rise_operator.api import MODEL_FAMILIES, Api
from rise_operator.families.plan import family_status
from rise_operator.lease import Election
from rise_operator.statuses import write_status
from rise_operator.world import World
from rise_runtime.bus import Bus
from rise_runtime.families import Families


class FamilyReconciler:
    def __init__(self, api: Api, bus: Callable[[], Bus], world: World, election: Election) -> None:
        self._api, self._bus, self._world, self._election = api, bus, world, election

    async def family(self, name: str) -> float | None:
        """Publish one ModelFamily, or withdraw one that is gone. Raises ApiError, BusUnavailable, NotLeader."""
        seen = self._world.families.get(name)
        self._election.check()
        if seen is None:
            if self._world.published.pop(name, None) is not None:
                await Families(self._bus()).withdraw(name)
            return None
        new = self._world.published.get(name) != seen.meta.generation
        if seen.family is not None and new and not self._world.bus_problem():
            await Families(self._bus()).publish(seen.family)
            self._world.published[name] = seen.meta.generation
            self._world.wake_family(name)
        status = family_status(self._world.family(seen))
        if status != seen.status:
            self._world.see_family(await write_status(self._api, MODEL_FAMILIES, seen.meta, status))
        return None
