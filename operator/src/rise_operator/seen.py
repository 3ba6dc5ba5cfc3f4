"""Kubernetes objects as they were last seen, cut down to what is decided upon. Pure: dictionaries to values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from rise_contracts import termination, words
from rise_contracts.pools import StagePoolSpec
from rise_contracts.resources import ModelFamily, RelayJobSpec
from rise_contracts.status import JobCondition, ModelFamilyStatus, RelayJobStatus, StagePoolStatus
from rise_operator.api import Object

M = TypeVar("M", bound=BaseModel)
Key = tuple[str, str]
"""Namespace and name; the namespace is empty for what has none."""

JOB_UID_LABEL = "rise-relay.io/job-uid"
POOL_LABEL = "rise-relay.io/pool"
TIER_LABEL = "rise-relay.io/tier"
MANAGED_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "rise-operator"
DIGEST = "rise-relay.io/digest"
"""Of what a Deployment was made from."""
LONGEST = 1000
"""Characters of what a container said."""
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


@dataclass(frozen=True, slots=True)
class Meta:
    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    created_at: float
    deleting: bool

    @property
    def key(self) -> Key:
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class SeenJob:
    """`spec` None: `problem` says what is wrong with it. Of the spec of a finished job only `ttl_s` and `managed_by`
    are kept."""

    meta: Meta
    spec: RelayJobSpec | None
    problem: str
    status: RelayJobStatus
    ttl_s: float | None = None
    managed_by: str | None = None
    finished_at: float | None = None

    @property
    def finished(self) -> bool:
        return self.finished_at is not None

    @property
    def job_id(self) -> str:
        """The job's name on the bus. The same key in the same namespace is the same job, whatever its objects are
        called."""
        key = self.spec.idempotency_key if self.spec is not None else None
        if self.status.job_id is not None:
            return self.status.job_id
        if key is not None:
            return f"job-{_digest(self.meta.namespace, key)[:24]}"
        return f"{self.meta.name.replace('.', '-')[:30].rstrip('-')}-{_digest(self.meta.uid)[:10]}"


@dataclass(frozen=True, slots=True)
class SeenPool:
    meta: Meta
    spec: StagePoolSpec | None
    problem: str
    status: StagePoolStatus


@dataclass(frozen=True, slots=True)
class SeenFamily:
    meta: Meta
    family: ModelFamily | None
    problem: str
    status: ModelFamilyStatus


class Trouble(NamedTuple):
    """Why a pod is not ready: what kind, the words of whoever said so, and the reason that a worker left."""

    kind: Literal["Unschedulable", "Image", "Config", "Failing", "Waiting"]
    text: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SeenPod:
    meta: Meta
    pool: str
    tier: str
    job_uid: str
    node: str
    ready: bool
    trouble: Trouble | None
    deletion_cost: str


@dataclass(frozen=True, slots=True)
class SeenDeployment:
    """`refused` is why it cannot make pods, in the API server's words."""

    meta: Meta
    digest: str
    replicas: int
    refused: str = ""


def job(body: Object) -> SeenJob:
    meta = _meta(body)
    spec, problem = _parsed(RelayJobSpec, body.get("spec"), "spec")
    status, _ = _parsed(RelayJobStatus, body.get("status") or {}, "status")
    seen = SeenJob(meta, spec, problem, status or RelayJobStatus())
    if spec is not None:
        seen = replace(seen, ttl_s=spec.ttl_seconds_after_finished, managed_by=spec.managed_by)
    ended = {JobCondition.COMPLETE, JobCondition.FAILED}
    if any(condition.type in ended and condition.status == "True" for condition in seen.status.conditions):
        kept = RelayJobStatus(job_id=seen.status.job_id)
        finished_at = timestamp(seen.status.completion_time) or meta.created_at
        seen = replace(seen, spec=None, status=kept, finished_at=finished_at)
    return seen


def pool(body: Object) -> SeenPool:
    spec, problem = _parsed(StagePoolSpec, body.get("spec"), "spec")
    status, _ = _parsed(StagePoolStatus, body.get("status") or {}, "status")
    return SeenPool(_meta(body), spec, problem, status or StagePoolStatus())


def family(body: Object) -> SeenFamily:
    bare = {"metadata": {"name": body["metadata"]["name"]}, "spec": body.get("spec")}
    parsed, problem = _parsed(ModelFamily, bare, "")
    status, _ = _parsed(ModelFamilyStatus, body.get("status") or {}, "status")
    return SeenFamily(_meta(body), parsed, problem, status or ModelFamilyStatus())


def pod(body: Object) -> SeenPod:
    labels, status = body["metadata"].get("labels") or {}, body.get("status") or {}
    annotations = body["metadata"].get("annotations") or {}
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())
    return SeenPod(
        meta=_meta(body),
        pool=labels.get(POOL_LABEL, ""),
        tier=labels.get(TIER_LABEL, ""),
        job_uid=labels.get(JOB_UID_LABEL, ""),
        node=(body.get("spec") or {}).get("nodeName", ""),
        ready=ready,
        trouble=None if ready else _trouble(status),
        deletion_cost=annotations.get(DELETION_COST, ""),
    )


def deployment(body: Object) -> SeenDeployment:
    annotations = body["metadata"].get("annotations") or {}
    spec = body.get("spec") or {}
    conditions = (body.get("status") or {}).get("conditions") or ()
    failures = (c for c in conditions if c.get("type") == "ReplicaFailure" and c.get("status") == "True")
    refused = next((str(failure.get("message") or "")[:LONGEST] for failure in failures), "")
    return SeenDeployment(_meta(body), annotations.get(DIGEST, ""), int(spec.get("replicas", 1)), refused)


def timestamp(text: str | None) -> float | None:
    """Unix seconds of an RFC 3339 time."""
    return None if not text else datetime.fromisoformat(text).timestamp()


_PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})


def _trouble(status: Mapping[str, Any]) -> Trouble | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return Trouble("Unschedulable", str(condition.get("message") or condition.get("reason") or ""))
    for container in status.get("containerStatuses") or ():
        state, last = container.get("state") or {}, container.get("lastState") or {}
        waiting = state.get("waiting") or {}
        if waiting.get("reason") in _PULLING:
            return Trouble("Image", f"{container.get('image', '')}: {waiting.get('message') or waiting['reason']}")
        ended = state.get("terminated") or last.get("terminated")
        if ended and ended.get("exitCode") != 0:
            return _last_word(ended)
        if waiting.get("reason") == "CreateContainerConfigError":
            return Trouble("Config", str(waiting.get("message") or waiting["reason"]))
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return Trouble("Waiting", str(waiting.get("message") or waiting["reason"]))
    return None


def _last_word(ended: Mapping[str, Any]) -> Trouble:
    """Of a container that ended: what it left on purpose, or else the last line that is known of it."""
    text = str(ended.get("message") or ended.get("reason") or "").strip()
    word = termination.decode(text)
    if word is not None:
        return Trouble("Failing", word.message[:LONGEST], word.reason)
    lines = text.splitlines()
    return Trouble("Failing", (lines[-1] if lines else f"exit code {ended.get('exitCode')}")[:LONGEST])


def _meta(body: Object) -> Meta:
    meta = body["metadata"]
    return Meta(
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta["uid"],
        generation=int(meta.get("generation", 0)),
        resource_version=meta["resourceVersion"],
        created_at=timestamp(meta.get("creationTimestamp")) or 0.0,
        deleting="deletionTimestamp" in meta,
    )


def _parsed(model: type[M], data: object, where: str) -> tuple[M | None, str]:
    """The model, or what is wrong in one line. The API server has refused most of it already; what is left is what a
    newer or older definition lets through."""
    try:
        return model.model_validate(data), ""
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in (where, *first["loc"]) if part != "")
        return None, f"{place}: wanted {words.wanted(first['type'], first['msg'], first.get('ctx', {}))}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("/".join(parts).encode()).hexdigest()
