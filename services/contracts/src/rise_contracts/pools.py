"""StagePools: the workers of one kind, as pods of a cluster (``rise-relay.io/v1alpha1``)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from rise_contracts.model import Name, Resource, Tier
from rise_contracts.parts import API_VERSION, Labels, LabelValue, Metadata, check_labels
from rise_contracts.rules import labels, rules, unchanged

LONGEST_NAME = 40
"""Of a pool: the names of its pods are longer, and have to fit into labels."""

DnsName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)]
"""The name of most things in a cluster."""

_AMOUNT = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"


def _as_text(amount: Any) -> Any:
    return str(amount) if isinstance(amount, int) and not isinstance(amount, bool) else amount


Quantity = Annotated[
    str,
    BeforeValidator(_as_text),
    Field(max_length=32, pattern=_AMOUNT),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "minimum": 0, "maxLength": 32, "pattern": _AMOUNT}),
]
Quantities = Annotated[dict[str, Quantity], Field(max_length=16), AfterValidator(check_labels)]
"""Amounts as Kubernetes writes them, by resource: ``{"nvidia.com/gpu": 1, "memory": "24Gi"}``."""


class Toleration(Resource):
    """As a pod's: a taint of nodes that the pool's pods do not mind."""

    model_config = rules(
        ("self.operator != 'Exists' || !has(self.value)", "a toleration with operator Exists has no value"),
        ("self.operator != 'Equal' || has(self.key)", "a toleration with operator Equal needs a key"),
        (
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "tolerationSeconds is for effect NoExecute only",
        ),
    )

    key: str | None = Field(
        default=None,
        min_length=1,
        max_length=317,
        description="Of the taint. Unset, with operator Exists: every taint.",
    )
    operator: Literal["Exists", "Equal"] = Field(
        default="Equal", description="Equal: key and value of the taint are these. Exists: its key is."
    )
    value: LabelValue | None = Field(default=None, description="Of the taint; for operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Of the taint. Unset: every effect."
    )
    toleration_seconds: int | None = Field(
        default=None, ge=0, description="How long pods stay once a NoExecute taint is there. Unset: for ever."
    )

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("a toleration with operator Exists has no value")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("a toleration with operator Equal needs a key")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("tolerationSeconds is for effect NoExecute only")
        return self


class Resources(Resource):
    """What each pod of a pool asks for, and may not go beyond."""

    model_config = rules(
        (
            "!has(self.requests) || self.requests.all(key, !key.contains('/') || (has(self.limits) && "
            "key in self.limits && string(self.limits[key]) == string(self.requests[key])))",
            "accelerators cannot be shared: the request of a device such as nvidia.com/gpu must equal its limit",
        ),
        *labels("requests"),
        *labels("limits"),
    )

    requests: Quantities = Field(default_factory=dict, description="By resource, what a node must have free.")
    limits: Quantities = Field(
        default_factory=dict, description="By resource, the most of it; nvidia.com/gpu: 1 is a GPU."
    )

    @model_validator(mode="after")
    def _accelerators_are_whole(self) -> Self:
        for key, asked in self.requests.items():
            if "/" in key and self.limits.get(key) != asked:
                raise ValueError(f"accelerators cannot be shared: the request of {key} must equal its limit")
        return self


_NOT_PLAIN = r"(^/tmp(/|$))|(/\.\.?(/|$))"


class ModelVolume(Resource):
    """A volume with weights, mounted read-only: the `path` of a source is a path below `mountPath`."""

    model_config = rules(
        (
            f"!self.mountPath.matches(r'{_NOT_PLAIN}')",
            "mountPath must not be in /tmp, where workers write, nor have '.' or '..' in it",
        ),
    )

    claim_name: DnsName = Field(description="A PersistentVolumeClaim of the pool's namespace.")
    mount_path: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._-]+)+$", max_length=256)] = Field(
        default="/models", description="Where workers see it: an absolute path, at most 256 characters."
    )

    @model_validator(mode="after")
    def _path_is_plain(self) -> Self:
        if re.search(_NOT_PLAIN, self.mount_path):
            raise ValueError("mountPath must not be in /tmp, where workers write, nor have '.' or '..' in it")
        return self


class StagePoolSpec(Resource):
    """Workers of one kind. Each is a pod on a node with the label `rise-relay.io/tier: <tier>`."""

    model_config = rules(
        *unchanged(always=("tier", "family"), kind="StagePool"),
        (
            "!has(self.nodeSelector) || !('rise-relay.io/tier' in self.nodeSelector)"
            " || self.nodeSelector['rise-relay.io/tier'] == self.tier",
            "nodeSelector must not ask for another rise-relay.io/tier than tier; leave it out, it is added",
        ),
        (
            "!has(self.labels) || !('node' in self.labels)",
            "the label node of workers is set by the operator; choose another name",
        ),
        ("self.members.all(m, self.members.exists_one(other, other == m))", "members must differ"),
        *labels("nodeSelector"),
        *labels("labels"),
    )

    tier: Tier = Field(description="Of its workers: large members at the edge, small ones on devices.")
    family: Name = Field(default="rise-shapes", description="The ModelFamily whose members its workers compute.")
    members: Annotated[tuple[Name, ...], Field(max_length=32)] = Field(
        default=(), description="To load before a worker is ready, at most 32. Empty: those at home on the tier."
    )
    replicas: int = Field(default=1, ge=0, le=10_000, description="How many workers, 0 to 10000.")
    node_selector: Labels = Field(default_factory=dict, description="Further labels that their nodes must have.")
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = Field(
        default=(), description="Taints of nodes that the pods do not mind, at most 16."
    )
    resources: Resources = Resources()
    runtime_class_name: DnsName | None = Field(default=None, description="Of the pods, such as nvidia.")
    priority_class_name: DnsName | None = Field(default=None, description="Of the pods.")
    image: str | None = Field(
        default=None, pattern=r"^[^\s]+$", max_length=512, description="Of the workers. Unset: the operator's default."
    )
    model_volume: ModelVolume | None = Field(default=None, description="With weights. Unset: none is mounted.")
    hub_token_secret: DnsName | None = Field(
        default=None, description="A Secret of the pool's namespace whose `token` opens gated repositories of the hub."
    )
    labels: Labels = Field(default_factory=dict, description="Of its workers, for the deviceSelector of jobs.")
    threads: int | None = Field(default=None, ge=1, le=1024, description="Of the CPU, for each worker, 1 to 1024.")
    precision: Literal["fp32", "fp16", "bf16"] = Field(default="fp32", description="Numbers that members compute with.")
    offload: Literal["none", "encoders"] = Field(
        default="none", description="With encoders, text encoders and autoencoder leave the accelerator after each use."
    )
    slots: int | None = Field(
        default=None, ge=1, le=64, description="Jobs at once in a worker, 1 to 64. Unset: by tier and accelerator."
    )
    tiny_vae: bool = Field(default=False, description="Decode pictures with the family's tiny autoencoder.")
    load_seconds: int = Field(
        default=1800, ge=10, le=7200, description="What loading may take before a restart, 10 to 7200 seconds."
    )
    drain_seconds: int = Field(
        default=60, ge=1, le=3600, description="What a worker that has to go may take to end, 1 to 3600 seconds."
    )

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if self.node_selector.get("rise-relay.io/tier", self.tier) != self.tier:
            raise ValueError("nodeSelector must not ask for another rise-relay.io/tier than tier; leave it out")
        if "node" in self.labels:
            raise ValueError("the label node of workers is set by the operator; choose another name")
        if len(set(self.members)) < len(self.members):
            raise ValueError(f"members must differ, got {list(self.members)}")
        return self


class StagePool(Resource):
    """Workers as pods: how many, on which nodes, with which members."""

    model_config = rules(
        (
            f"size(self.metadata.name) <= {LONGEST_NAME}",
            f"the name of a StagePool has at most {LONGEST_NAME} characters: its pods add to it",
        ),
        ("!self.metadata.name.contains('.')", "the name of a StagePool has no dots in it"),
    )

    api_version: Literal["rise-relay.io/v1alpha1"] = API_VERSION
    kind: Literal["StagePool"] = "StagePool"
    metadata: Metadata
    spec: StagePoolSpec

    @model_validator(mode="after")
    def _name_is_short(self) -> Self:
        if len(self.metadata.name) > LONGEST_NAME:
            raise ValueError(f"the name of a StagePool has at most {LONGEST_NAME} characters: its pods add to it")
        return self
