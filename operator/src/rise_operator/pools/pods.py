"""The pods of stages as manifests: one worker each, on a node of its tier, with the least rights there are. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from rise_contracts import termination
from rise_contracts.model import Tier
from rise_contracts.parts import API_VERSION
from rise_contracts.pools import StagePoolSpec
from rise_contracts.tenants import dedicated_on_bus, pool_on_bus
from rise_operator.api import Object
from rise_operator.seen import DIGEST, JOB_UID_LABEL, MANAGED_BY, MANAGED_LABEL, POOL_LABEL, TIER_LABEL, Meta, SeenPool
from rise_operator.settings import StageDefaults
from rise_runtime import access

HEALTH_PORT: Final = 8080
NODE_WORKER_LABEL: Final = "node"
"""Of a worker on the bus: the node that it is on."""
DEPLOYMENT_PREFIX: Final = "rise-"
_SCRATCH: Final = "/tmp"
_KEYS: Final = "/etc/rise/nats"
_LAST_WORD: Final = "/dev/termination-log"


def labels_of(pool: Meta, tier: str) -> dict[str, str]:
    """What its pods are found by."""
    return {"app.kubernetes.io/name": "rise-stage", MANAGED_LABEL: MANAGED_BY, POOL_LABEL: pool.name, TIER_LABEL: tier}


def deployment(meta: Meta, spec: StagePoolSpec, defaults: StageDefaults, home: str) -> Object:
    """The Deployment that keeps the pool's pods. Its digest annotation tells whether it has to be applied again."""
    labels = labels_of(meta, spec.tier)
    pod = {
        "metadata": {"labels": labels},
        "spec": pod_spec(spec, defaults, pool_on_bus(meta.namespace, meta.name, home)),
    }
    body: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": deployment_name(meta.name),
            "namespace": meta.namespace,
            "labels": labels,
            "ownerReferences": [owner(meta, "StagePool")],
        },
        "spec": {
            "replicas": spec.replicas,
            "selector": {"matchLabels": {MANAGED_LABEL: MANAGED_BY, POOL_LABEL: meta.name}},
            # An accelerator has no room for the old worker and the new one.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "progressDeadlineSeconds": spec.load_seconds + 600,
            "template": pod,
        },
    }
    body["metadata"]["annotations"] = {DIGEST: digest(body)}
    return body


def job_pod(job: Meta, job_id: str, pool: SeenPool, spec: StagePoolSpec, defaults: StageDefaults, home: str) -> Object:
    """A pod that is there for one job, made after a pool. It belongs to the pool, in whose namespace it is, and with
    which it serves; the job may be in another."""
    name = f"{job.name.replace('.', '-')[:40].rstrip('-')}-{job.uid[:8]}-{spec.tier}"
    made = pod_spec(spec, defaults, dedicated_on_bus(pool.meta.namespace, spec.tier, home), dedicated=job_id)
    labels = {**labels_of(pool.meta, spec.tier), JOB_UID_LABEL: job.uid}
    labels[POOL_LABEL] = f"dedicated-{spec.tier}"  # not counted among the pool's own, nor taken over by its Deployment
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": pool.meta.namespace,
            "labels": labels,
            "ownerReferences": [owner(pool.meta, "StagePool")],
        },
        "spec": {**made, "restartPolicy": "Always"},
    }


def pod_spec(spec: StagePoolSpec, defaults: StageDefaults, pool: str, *, dedicated: str = "") -> Object:
    """What is common to both."""
    volumes: list[Object] = [{"name": "scratch", "emptyDir": {}}]
    mounts: list[Object] = [{"name": "scratch", "mountPath": _SCRATCH}]
    if spec.model_volume is not None:
        claim = {"claimName": spec.model_volume.claim_name, "readOnly": True}
        volumes.append({"name": "models", "persistentVolumeClaim": claim})
        mounts.append({"name": "models", "mountPath": spec.model_volume.mount_path, "readOnly": True})
    keys = _keys_of_bus(spec.tier, defaults)
    if keys:
        volumes.append({"name": "nats", "projected": {"defaultMode": 0o440, "sources": keys}})
        mounts.append({"name": "nats", "mountPath": _KEYS, "readOnly": True})
    made: Object = {
        "nodeSelector": {**spec.node_selector, TIER_LABEL: spec.tier},
        "tolerations": [item.model_dump(by_alias=True, exclude_none=True) for item in spec.tolerations],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": spec.drain_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(spec, defaults, mounts, _environment(spec, defaults, pool, dedicated))],
        "volumes": volumes,
    }
    if defaults.service_account:
        made["serviceAccountName"] = defaults.service_account
    if spec.runtime_class_name is not None:
        made["runtimeClassName"] = spec.runtime_class_name
    if spec.priority_class_name is not None:
        made["priorityClassName"] = spec.priority_class_name
    return made


def _keys_of_bus(tier: Tier, defaults: StageDefaults) -> list[Object]:
    """What a worker of the tier shows NATS, and knows it by. A Secret that is missing is left out, so that the worker
    says itself what it lacks, and takes it up when it is there."""
    own = defaults.nats_edge_secret if tier == "edge" else defaults.nats_device_secret
    found: list[Object] = [{"secret": {"name": own, "optional": True}}] if own else []
    if defaults.nats_ca_secret:
        only = [{"key": "ca.crt", "path": "ca.crt"}]
        found.append({"secret": {"name": defaults.nats_ca_secret, "items": only, "optional": True}})
    return found


def deployment_name(pool: str) -> str:
    return DEPLOYMENT_PREFIX + pool


def owner(meta: Meta, kind: str) -> Object:
    """So that the garbage collector takes it away with its owner: no finalizer is needed."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "name": meta.name,
        "uid": meta.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def digest(body: Object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def _container(spec: StagePoolSpec, defaults: StageDefaults, mounts: list[Object], environment: list[Object]) -> Object:
    def probe(path: str, period_s: int, failures: int) -> Object:
        get = {"path": path, "port": "health"}
        return {"httpGet": get, "periodSeconds": period_s, "timeoutSeconds": 5, "failureThreshold": failures}

    resources = {"requests": spec.resources.requests, "limits": spec.resources.limits}
    return {
        "name": "stage",
        "image": spec.image or defaults.image,
        "imagePullPolicy": defaults.pull_policy,
        "env": environment,
        "ports": [{"name": "health", "containerPort": HEALTH_PORT}],
        # Ready is loaded and registered; a worker that loads for half an hour is not a dead one.
        "startupProbe": probe("/readyz", 2, max(1, spec.load_seconds // 2)),
        "readinessProbe": probe("/readyz", 5, 2),
        "livenessProbe": probe("/healthz", 10, 6),
        "resources": {name: amounts for name, amounts in resources.items() if amounts},
        "volumeMounts": mounts,
        # A worker says there why it cannot start; one that cannot even do that, in the last lines that it wrote.
        "terminationMessagePath": _LAST_WORD,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _environment(spec: StagePoolSpec, defaults: StageDefaults, pool: str, dedicated: str) -> list[Object]:
    def field(name: str, path: str) -> Object:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    labels = {**spec.labels, NODE_WORKER_LABEL: "$(RISE_NODE)"}
    plain: dict[str, Any] = {
        "RISE_NATS_URL": defaults.nats_url,
        "RISE_TIER": spec.tier,
        "RISE_POOL": pool,
        "RISE_DEDICATED": dedicated,
        "RISE_FAMILIES": f"bus:{spec.family}",
        "RISE_MEMBERS": ",".join(spec.members),
        "RISE_LABELS": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        "RISE_THREADS": spec.threads,
        "RISE_PRECISION": spec.precision,
        "RISE_OFFLOAD": spec.offload,
        "RISE_SLOTS": spec.slots,
        "RISE_TINY_VAE": "1" if spec.tiny_vae else None,
        # A path in a family's manifest leads nowhere else; where no volume is mounted, nowhere.
        "RISE_MODELS": spec.model_volume.mount_path if spec.model_volume is not None else "/models",
        "RISE_HEALTH": f"0.0.0.0:{HEALTH_PORT}",
        "RISE_LOG_FORMAT": "json",
        termination.VARIABLE: _LAST_WORD,
        access.FOLDER: _KEYS if _keys_of_bus(spec.tier, defaults) else None,
        "HOME": _SCRATCH,
        "HF_HOME": f"{_SCRATCH}/huggingface",
    }
    hub = {"name": spec.hub_token_secret, "key": "token"}
    return [
        field("RISE_WORKER", "metadata.name"),
        field("RISE_NODE", "spec.nodeName"),
        *({"name": name, "value": str(value)} for name, value in plain.items() if value not in (None, "")),
        *([{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": hub}}] if spec.hub_token_secret else []),
        *_metrics_token(defaults.metrics_secret),
    ]


def _metrics_token(secret: str) -> list[Object]:
    """A worker without it works, and shows its metrics to nobody."""
    reference = {"name": secret, "key": "stage-token", "optional": True}
    return [{"name": "RISE_METRICS_TOKEN", "valueFrom": {"secretKeyRef": reference}}] if secret else []
