"""Looking at everything, from time to time: what the watch should have brought, and did not, is made good here.

The first look is before the watch begins, so that nothing is taken for gone that was only not heard of yet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

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
from rise_operator.seen import MANAGED_BY, MANAGED_LABEL, Key, timestamp
from rise_operator.settings import Settings
from rise_operator.world import World

STALE_S = 120.0


class NotGranted(InvalidInput):
    """A right is missing; or the API server has only just started, and knows of no rights for a moment."""


async def resync(api: Api, world: World, settings: Settings) -> None:
    """Bring `world` up to what the API server has now.

    Raises InvalidInput where the resources are not defined, NotGranted where they may not be read, ApiError where it
    cannot be asked.
    """
    ours = f"{MANAGED_LABEL}={MANAGED_BY}"
    spaces: tuple[str | None, ...] = settings.watch_namespaces or (None,)
    uids = {key: job.meta.uid for key, job in world.jobs.items()}
    await _renew(
        api,
        MODEL_FAMILIES,
        (None,),
        "",
        world.see_family,
        lambda key: world.lose_family(key[1]),
        (("", name) for name in world.families),
    )
    await _renew(api, STAGE_POOLS, spaces, "", world.see_pool, world.lose_pool, world.pools)
    await _renew(api, DEPLOYMENTS, spaces, ours, world.see_deployment, world.lose_deployment, world.deployments)
    await _renew(api, PODS, spaces, ours, world.see_pod, world.lose_pod, world.pods)
    await _renew(api, RELAY_JOBS, spaces, "", world.see_job, lambda key: world.lose_job(key, uids[key]), uids)


async def check_alone(api: Api, settings: Settings, election: Election) -> None:
    """Raise InvalidInput where another installation cares for some of the same namespaces."""
    try:
        others = [
            lease
            async for lease in api.list(LEASES, labels="app.kubernetes.io/name=" + LABELS["app.kubernetes.io/name"])
        ]
    except ApiError as error:
        if error.status == 403:
            return  # installed for some namespaces only, without the right to look at others
        raise
    for lease in others:
        if lease["metadata"]["uid"] != election.uid and _overlaps(lease, settings):
            where = f"{lease['metadata']['namespace']}/{lease['metadata']['name']}"
            raise InvalidInput(
                "--watch-namespaces",
                "namespaces that no other Rise operator cares for",
                ",".join(settings.watch_namespaces) or "all",
                f"the operator with the lease {where} is alive; uninstall one, or give each namespaces of its own",
            )


def _overlaps(lease: Object, settings: Settings) -> bool:
    spec, meta = lease.get("spec") or {}, lease["metadata"]
    renewed = timestamp(spec.get("renewTime")) or 0.0
    if not spec.get("holderIdentity") or datetime.now(UTC).timestamp() - renewed > STALE_S:
        return False
    theirs = set(filter(None, (meta.get("annotations") or {}).get(WATCHES, "").split(",")))
    ours = set(settings.watch_namespaces)
    return not theirs or not ours or bool(theirs & ours)


async def _renew(
    api: Api,
    kind: Kind,
    spaces: Iterable[str | None],
    labels: str,
    see: Callable[[Object], None],
    lose: Callable[[Key], None],
    known: Iterable[Key],
) -> None:
    """See all objects of a kind; what was known before and is not among them is gone."""
    left = set(known)
    for space in spaces:
        with _in_words(kind):
            async for body in api.list(kind, space, labels=labels):
                left.discard((body["metadata"].get("namespace", ""), body["metadata"]["name"]))
                see(body)
    for key in left:
        lose(key)


@contextlib.contextmanager
def _in_words(kind: Kind) -> Iterator[None]:
    """What the cluster lacks, for somebody who can do something about it."""
    try:
        yield
    except ApiError as error:
        if error.status == 404:
            hint = "install them: kubectl apply -f crds/, or Helm with crds.install=true"
            raise InvalidInput("the cluster", f"a definition of {kind.plural}", "none", hint) from error
        if error.status in (401, 403):
            hint = "the chart's roles give this right; is the service account bound to them?"
            raise NotGranted("the service account", f"the right to list {kind.plural}", error.text, hint) from error
        raise
