"""What kopf hears, handed on. No handler changes anything: there are no finalizers and no annotations of kopf's.

Only `event` handlers are used: kopf's own create/update/delete handlers keep their progress in the object, which costs
writes for every job, and decide by differences, where the reconcilers look at how things are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kopf

from rise_operator.api import Object
from rise_operator.liveness import Liveness
from rise_operator.seen import MANAGED_BY, MANAGED_LABEL, Key
from rise_operator.settings import Settings
from rise_operator.world import World

GROUP, VERSION = "rise-relay.io", "v1alpha1"
See = Callable[[Object], None]
Hand = Callable[[See, Object], None]


def register(registry: kopf.OperatorRegistry, world: World, liveness: Liveness, hand: Hand) -> None:
    """Have `world` see every change, by way of `hand`."""

    def watch(see: See, lose: See, *resource: str) -> None:
        @kopf.on.event(*resource, registry=registry, id=resource[-1])
        async def handle(event: Any, **_: Any) -> None:
            hand(lose if event["type"] == "DELETED" else see, event["object"])

    watch(world.see_job, lambda body: world.lose_job(_key(body), body["metadata"]["uid"]), GROUP, VERSION, "relayjobs")
    watch(world.see_pool, lambda body: world.lose_pool(_key(body)), GROUP, VERSION, "stagepools")
    watch(world.see_family, lambda body: world.lose_family(_key(body)[1]), GROUP, VERSION, "modelfamilies")
    watch(world.see_pod, lambda body: world.lose_pod(_key(body)), "v1", "pods")
    watch(world.see_deployment, lambda body: world.lose_deployment(_key(body)), "apps", "v1", "deployments")
    watch(liveness.see_lease, lambda body: None, "coordination.k8s.io", "v1", "leases")


class _NoDifferences(kopf.DiffBaseStorage):
    """kopf copies each object at each event to see what has changed in it, which none of our handlers asks."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:
        return {}

    def fetch(self, *, body: Any) -> Any:
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        """Nothing is kept in the objects."""


def kopf_settings(settings: Settings) -> kopf.OperatorSettings:
    """Why each is set: facts about kopf 1.45 and what its users ran into."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False  # our own events only
    chosen.persistence.diffbase_storage = _NoDifferences()
    chosen.scanning.disabled = True  # no rights to list definitions and namespaces
    chosen.peering.standalone = True  # leadership is a Lease; peering would freeze both replicas
    chosen.watching.server_timeout = 300
    chosen.watching.client_timeout = 330
    chosen.watching.connect_timeout = 5
    chosen.watching.inactivity_timeout = 70  # a stream without even a bookmark is dead
    chosen.watching.chunk_size = 500
    chosen.networking.request_timeout = 30
    chosen.queueing.idle_timeout = 1.0
    chosen.queueing.exit_timeout = 0.5
    chosen.process.ultimate_exiting_timeout = 5
    ours = f"{MANAGED_LABEL}={MANAGED_BY}"
    chosen.watching.label_selectors["v1", "pods"] = ours
    chosen.watching.label_selectors["apps", "v1", "deployments"] = ours
    chosen.watching.field_selectors["coordination.k8s.io", "v1", "leases"] = f"metadata.name={settings.lease}"
    return chosen


def _key(body: Object) -> Key:
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]
