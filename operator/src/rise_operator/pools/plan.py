"""What to do about a StagePool and what to say of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rise_contracts.messages import Heartbeat
from rise_contracts.pools import StagePoolSpec
from rise_contracts.status import PoolReason, StagePoolStatus
from rise_operator.api import Object
from rise_operator.conditions import Finding, merged
from rise_operator.pools import pods as manifests
from rise_operator.seen import DIGEST, MANAGED_BY, MANAGED_LABEL, POOL_LABEL, SeenDeployment, SeenPod, SeenPool
from rise_operator.settings import StageDefaults
from rise_runtime.access import NOBODY

BUSY_COST = "100"
"""Above 0: of the pods that a smaller pool can do without, one that is at work goes last (KEP-2255)."""


@dataclass(frozen=True, slots=True)
class ObservedPool:
    """One StagePool and what there is of it. `missing` is why its family cannot be used, with the reason."""

    pool: SeenPool
    now: float
    defaults: StageDefaults
    home: str
    deployment: SeenDeployment | None = None
    pods: tuple[SeenPod, ...] = ()
    workers: tuple[Heartbeat, ...] = ()
    missing: tuple[PoolReason, str] | None = None
    refused: str = ""
    """The API server's words where the Deployment could not be applied."""


@dataclass(frozen=True, slots=True)
class SetCost:
    """Write down what it would cost to delete the pod."""

    pod: SeenPod
    cost: str


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """`costs` come before `deployment`, which may make the pool smaller."""

    costs: tuple[SetCost, ...] = ()
    deployment: Object | None = None
    status: StagePoolStatus | None = None


def plan_pool(seen: ObservedPool) -> PoolPlan:
    """The Deployment where it has to be applied (again), and the status."""
    pool, spec = seen.pool, seen.pool.spec
    if pool.meta.deleting:
        return PoolPlan()
    if spec is None:
        return PoolPlan(status=_status(seen, StagePoolSpec(tier="edge"), (PoolReason.INVALID_SPEC, pool.problem)))
    wanted = manifests.deployment(pool.meta, spec, seen.defaults, seen.home)
    there = seen.deployment
    stale = there is None or there.digest != wanted["metadata"]["annotations"][DIGEST]
    # A number that somebody else wrote into the Deployment is not what the pool says.
    stale = stale or (there is not None and there.replicas != spec.replicas)
    shrinks = there is not None and spec.replicas < there.replicas
    return PoolPlan(_costs(seen) if shrinks else (), wanted if stale else None, _status(seen, spec, None))


def _costs(seen: ObservedPool) -> tuple[SetCost, ...]:
    busy = {beat.worker for beat in seen.workers if beat.busy_jobs}
    wanted = {pod: BUSY_COST if pod.meta.name in busy else "0" for pod in seen.pods}
    return tuple(SetCost(pod, cost) for pod, cost in wanted.items() if (pod.deletion_cost or "0") != cost)


def _status(seen: ObservedPool, spec: StagePoolSpec, invalid: tuple[PoolReason, str] | None) -> StagePoolStatus:
    registered = {beat.worker for beat in seen.workers if beat.ready}
    alive = [pod for pod in seen.pods if not pod.meta.deleting]
    ready = [pod for pod in alive if pod.ready and pod.meta.name in registered]
    reason, message = invalid or _why(seen, spec, alive, len(ready))
    finding = Finding("Ready", reason in (PoolReason.READY, PoolReason.SCALED_TO_ZERO), reason, message)
    generation = seen.pool.meta.generation
    return StagePoolStatus(
        observed_generation=generation,
        conditions=merged([finding], seen.pool.status.conditions, generation=generation, now=seen.now),
        replicas=len(alive),
        ready_replicas=len(ready),
        busy_replicas=sum(bool(beat.busy_jobs) for beat in seen.workers),
        members=tuple(sorted({member for beat in seen.workers for member in beat.members}))[:32],
        nodes=tuple(sorted({pod.node for pod in alive if pod.node}))[:64],
        selector=f"{MANAGED_LABEL}={MANAGED_BY},{POOL_LABEL}={seen.pool.meta.name}",
    )


def _why(seen: ObservedPool, spec: StagePoolSpec, alive: list[SeenPod], ready: int) -> tuple[PoolReason, str]:
    """Why the pool is as ready as it is."""
    count = f"{ready} of {spec.replicas} workers take work"
    if seen.refused:
        return PoolReason.FORBIDDEN, seen.refused
    if spec.replicas == 0:
        return PoolReason.SCALED_TO_ZERO, "no worker is wanted"
    if ready >= spec.replicas:
        return PoolReason.READY, count
    if seen.missing is not None:
        return seen.missing
    trouble = _trouble(seen, spec, alive) or _refusal(seen)
    return trouble or (PoolReason.LOADING if alive else PoolReason.PODS_PENDING, count)


_REASONS = {
    "Unschedulable": PoolReason.NO_NODE,
    "Image": PoolReason.IMAGE_UNAVAILABLE,
    "Config": PoolReason.SECRET_MISSING,
    "Failing": PoolReason.WORKER_FAILING,
    "Waiting": PoolReason.PODS_PENDING,
}


def _trouble(seen: ObservedPool, spec: StagePoolSpec, alive: Iterable[SeenPod]) -> tuple[PoolReason, str] | None:
    """What the first pod in trouble says, and what to do about it."""
    for pod in sorted(alive, key=lambda pod: pod.meta.name):
        if pod.trouble is None:
            continue
        kind, text, _ = pod.trouble
        hint = ""
        if kind == "Failing" and NOBODY.what in text:
            kind = "Config"  # the Secret that it mounts is not there, so it shows nothing
        if kind == "Unschedulable":
            wanted = spec.resources.limits.get("nvidia.com/gpu")
            gpu = f" and {wanted} nvidia.com/gpu free" if wanted else ""
            hint = f"; a node is needed with the label rise-relay.io/tier={spec.tier}{gpu}"
        elif kind == "Config":
            hint = _secrets(seen, spec)
        return _REASONS[kind], f"{pod.meta.name}: {text}{hint}"
    return None


def _secrets(seen: ObservedPool, spec: StagePoolSpec) -> str:
    """Which Secrets the pods read, and how those of the bus get to where they are."""
    there, known = seen.pool.meta.namespace, seen.defaults
    own = known.nats_edge_secret if spec.tier == "edge" else known.nats_device_secret
    names = " and ".join(name for name in (own, known.nats_ca_secret, spec.hub_token_secret) if name)
    hint = f"; in namespace {there} its pods read the Secret {names}"
    if not own or there == seen.home:
        return hint
    # Without what is of the object that it is there.
    bare = "sed -E '/^  (namespace|uid|resourceVersion|creationTimestamp):/d'"
    hint += f": kubectl get secret {own} -n {seen.home} -o yaml | {bare} | kubectl create -n {there} -f -"
    if not known.nats_ca_secret:
        return hint
    # Not the whole Secret: the server's own key may be in it.
    read = f"kubectl get secret {known.nats_ca_secret} -n {seen.home} -o jsonpath='{{.data.ca\\.crt}}' | base64 -d"
    return f'{hint}; kubectl create secret generic {known.nats_ca_secret} -n {there} --from-literal=ca.crt="$({read})"'


def _refusal(seen: ObservedPool) -> tuple[PoolReason, str] | None:
    """What the API server has against the pods."""
    text = seen.deployment.refused if seen.deployment is not None else ""
    if not text:
        return None
    account, there = seen.defaults.service_account, seen.pool.meta.namespace
    if account and f'serviceaccount "{account}" not found' in text:
        text += (
            f"; its pods run as this account, which needs no rights: kubectl create serviceaccount {account} -n {there}"
        )
    return PoolReason.FORBIDDEN, text
