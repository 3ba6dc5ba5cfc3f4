"""StagePools: the workers of one kind, as pods of a cluster (``rise-relay.io/v1alpha1``)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rise_contracts.model import Name, Resource, Tier
from rise_contracts.resources import API_VERSION, Labels, Metadata
from rise_contracts.rules import labels, rules, unchanged


class Toleration(Resource):
    """As a pod's: a taint of nodes that the pool's pods do not mind."""

    model_config = rules(
        ("self.operator != 'Exists' || !has(self.value)", "a toleration with operator Exists has no value"),
        ("self.operator != 'Equal' || has(self.key)", "a toleration with operator Equal needs a key"),
    )

    key: str | None = Field(default=None, min_length=1, max_length=317)
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str | None = Field(default=None, max_length=63)
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _value_fits_operator(self) -> Self:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("a toleration with operator Exists has no value")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("a toleration with operator Equal needs a key")
        return self


Quantity = Annotated[str, Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$")]
Quantities = Annotated[dict[str, Quantity], Field(max_length=16)]
"""Amounts as Kubernetes writes them, by resource: ``{"nvidia.com/gpu": "1", "memory": "24Gi"}``."""


class Resources(Resource):
    """What each pod of a pool asks for, and may not go beyond."""

    model_config = rules(
        (
            "!('nvidia.com/gpu' in self.requests) || ('nvidia.com/gpu' in self.limits"
            " && self.limits['nvidia.com/gpu'] == self.requests['nvidia.com/gpu'])",
            "accelerators cannot be shared: the request of nvidia.com/gpu must equal its limit",
        ),
    )

    requests: Quantities = Field(default={})
    limits: Quantities = Field(default={})

    @model_validator(mode="after")
    def _accelerators_are_whole(self) -> Self:
        asked = self.requests.get("nvidia.com/gpu")
        if asked is not None and self.limits.get("nvidia.com/gpu") != asked:
            raise ValueError("accelerators cannot be shared: the request of nvidia.com/gpu must equal its limit")
        return self


class ModelVolume(Resource):
    """A volume with weights, mounted read-only: the `path` of a source is a path below `mountPath`."""

    claim_name: Annotated[str, Field(min_length=1, max_length=253)]
    mount_path: Annotated[str, Field(pattern=r"^/.*[^/]$", max_length=256)] = "/models"


class StagePoolSpec(Resource):
    """Workers of one kind. Each is a pod on a node with the label `rise-relay.io/tier: <tier>`."""

    model_config = rules(
        *unchanged(always=("tier", "family"), kind="StagePool"),
        (
            "!('rise-relay.io/tier' in self.nodeSelector) || self.nodeSelector['rise-relay.io/tier'] == self.tier",
            "nodeSelector must not ask for another rise-relay.io/tier than tier; leave it out, it is added",
        ),
        ("!('node' in self.labels)", "the label node of workers is set by the operator; choose another name"),
        *labels("nodeSelector"),
        *labels("labels"),
    )

    tier: Tier
    family: Name = "rise-shapes"
    members: Annotated[tuple[Name, ...], Field(max_length=32)] = Field(
        default=(), description="to load before a worker is ready; none: those of the tier"
    )
    replicas: int = Field(default=1, ge=0, le=10_000)
    node_selector: Labels = Field(default={})
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    resources: Resources = Resources()
    runtime_class_name: str | None = Field(default=None, min_length=1, max_length=253)
    priority_class_name: str | None = Field(default=None, min_length=1, max_length=253)
    image: str | None = Field(default=None, min_length=1, max_length=512, description="None: the operator's default")
    model_volume: ModelVolume | None = None
    hub_token_secret: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="a Secret whose `token` opens gated repositories",
    )
    labels: Labels = Field(default={}, description="of the workers, for the deviceSelector of jobs")
    threads: int | None = Field(default=None, ge=1, le=1024)
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    offload: Literal["none", "encoders"] = "none"
    slots: int | None = Field(default=None, ge=1, le=64, description="jobs at once; None: by tier and accelerator")
    tiny_vae: bool = False
    load_seconds: int = Field(default=1800, ge=10, le=7200, description="what loading may take before a restart")
    drain_seconds: int = Field(default=60, ge=1, le=3600, description="what a worker that has to go may take to end")

    @model_validator(mode="after")
    def _labels_are_free(self) -> Self:
        if self.node_selector.get("rise-relay.io/tier", self.tier) != self.tier:
            raise ValueError("nodeSelector must not ask for another rise-relay.io/tier than tier; leave it out")
        if "node" in self.labels:
            raise ValueError("the label node of workers is set by the operator; choose another name")
        return self


class StagePool(Resource):
    """Workers as pods: how many, on which nodes, with which members."""

    model_config = rules(
        ("size(self.metadata.name) <= 40", "the name of a StagePool has at most 40 characters: its pods add to it"),
        ("!self.metadata.name.contains('.')", "the name of a StagePool has no dots in it"),
    )

    api_version: Literal["rise-relay.io/v1alpha1"] = API_VERSION
    kind: Literal["StagePool"] = "StagePool"
    metadata: Metadata
    spec: StagePoolSpec
