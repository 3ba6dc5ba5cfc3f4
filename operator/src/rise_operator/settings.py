"""What the operator is started with: flags, or else RISE_ variables, or else these defaults."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rise_contracts.errors import InvalidInput
from rise_runtime import access
from rise_runtime.access import NOBODY, Access

CONTROLLER = "rise-relay.io/operator"
"""What `spec.managedBy` of a RelayJob has to be, if anything, for this operator to care for it (KEP-4368)."""

TEXT = "Brings RelayJobs, ModelFamilies and StagePools to what their manifests say."
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class StageDefaults:
    """What the pods of stages are made with where their pool says nothing else.

    Attributes:
        nats_url: as seen from the pods.
        nats_edge_secret, nats_device_secret: Secrets in the pool's namespace with what opens the bus to workers of the
            tier, in files as `rise_runtime.access` reads them; empty where none is needed.
        nats_ca_secret: a Secret there whose ca.crt signed the certificate of the bus; empty for one that all trust.
        metrics_secret: one there whose key `stage-token` opens their metrics, which stay shut where it is not.
    """

    image: str = "rise-stage"
    pull_policy: str = "IfNotPresent"
    service_account: str = ""
    nats_url: str = "nats://127.0.0.1:4222"
    nats_edge_secret: str = ""
    nats_device_secret: str = ""
    nats_ca_secret: str = ""
    metrics_secret: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """`access` comes from the environment only: command lines are seen by every user of the machine.

    Attributes:
        namespace: where the operator runs; its Lease is there.
        release: the installation; part of the Lease's name.
        identity: this replica; unique.
        watch_namespaces: whose resources it cares for; empty is all.
        kubeconfig: a file; empty is the pod's own service account, or else what KUBECONFIG says.
        lease_s: for how long a leader that says nothing still is it.
    """

    namespace: str
    release: str = "rise"
    identity: str = "rise-operator"
    watch_namespaces: tuple[str, ...] = ()
    kubeconfig: str = ""
    context: str = ""
    nats_url: str = "nats://127.0.0.1:4222"
    access: Access = NOBODY
    stage: StageDefaults = StageDefaults()
    lease_s: float = 10.0
    resync_s: float = 300.0
    workers: int = 16

    @property
    def lease(self) -> str:
        return f"{self.release}-operator"


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Read the settings. Raises InvalidInput for a value out of range; argparse ends the process for an unknown one."""
    given = _parser(environment).parse_args(list(arguments))
    return Settings(
        namespace=_name("--namespace", given.namespace),
        release=_name("--release", given.release),
        identity=given.identity or environment.get("HOSTNAME") or "rise-operator",
        watch_namespaces=tuple(_name("--watch-namespaces", name) for name in given.watch_namespaces.split(",") if name),
        kubeconfig=given.kubeconfig,
        context=given.context,
        nats_url=given.nats_url,
        access=access.from_environment(environment),
        stage=StageDefaults(
            image=given.stage_image,
            pull_policy=given.stage_pull_policy,
            service_account=given.stage_service_account,
            nats_url=given.stage_nats_url or given.nats_url,
            nats_edge_secret=given.nats_edge_secret or given.nats_secret,
            nats_device_secret=given.nats_device_secret or given.nats_secret,
            nats_ca_secret=given.nats_ca_secret,
            metrics_secret=given.metrics_secret,
        ),
        lease_s=_number("--lease-seconds", given.lease_seconds, 3, 300),
        resync_s=_number("--resync-seconds", given.resync_seconds, 1, 86_400),
        workers=int(_number("--workers", given.workers, 1, 256)),
    )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    def add(flag: str, variable: str, default: str, text: str, **more: Any) -> None:
        parser.add_argument(flag, default=environment.get(variable) or default, help=text, **more)

    parser = argparse.ArgumentParser(prog="rise_operator", description=TEXT, allow_abbrev=False)
    stage = StageDefaults()
    add("--namespace", "RISE_NAMESPACE", "default", "where the operator runs (default)")
    add("--release", "RISE_RELEASE", "rise", "the installation's name (rise)")
    add("--identity", "RISE_POD_NAME", "", "this replica's name (the host's)")
    add("--watch-namespaces", "RISE_WATCH_NAMESPACES", "", "a,b,c; none is all of the cluster")
    add("--kubeconfig", "RISE_KUBECONFIG", "", "a file; none is the pod's own account, or else KUBECONFIG")
    add("--context", "RISE_CONTEXT", "", "of the kubeconfig; none is its current one")
    add("--nats-url", "RISE_NATS_URL", stage.nats_url, "the NATS server")
    add("--stage-image", "RISE_STAGE_IMAGE", stage.image, "of the pods of stages")
    add("--stage-pull-policy", "RISE_STAGE_PULL_POLICY", stage.pull_policy, "of that image")
    add("--stage-service-account", "RISE_STAGE_SERVICE_ACCOUNT", "", "of the pods of stages")
    add("--stage-nats-url", "RISE_STAGE_NATS_URL", "", "the NATS server as the pods see it (the same)")
    add("--nats-secret", "RISE_NATS_SECRET", "", "the Secret that opens NATS to the pods of stages")
    add("--nats-edge-secret", "RISE_NATS_EDGE_SECRET", "", "the same, to those of the tier edge")
    add("--nats-device-secret", "RISE_NATS_DEVICE_SECRET", "", "the same, to those of the tier device")
    add("--nats-ca-secret", "RISE_NATS_CA_SECRET", "", "the Secret whose ca.crt signed the certificate of NATS")
    add("--metrics-secret", "RISE_METRICS_SECRET", "", "the Secret whose key `stage-token` opens their metrics")
    add("--lease-seconds", "RISE_LEASE_SECONDS", "10", "after which a silent leader is replaced (10)")
    add("--resync-seconds", "RISE_RESYNC_SECONDS", "300", "after which everything is looked at again (300)")
    add("--workers", "RISE_RECONCILERS", "16", "objects reconciled at the same time (16)")
    return parser


def _name(flag: str, text: str) -> str:
    if not _NAME.fullmatch(text):
        raise InvalidInput(flag, "1 to 63 lower-case letters, digits and inner hyphens", text)
    return text


def _number(flag: str, text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise InvalidInput(flag, f"a number from {low:g} to {high:g}", text)
    return value
