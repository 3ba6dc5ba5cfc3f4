"""The custom resource definitions, made from the models: ``python -m rise_contracts.crds FOLDER`` writes them.

A structural schema is less than what pydantic writes: nothing is referred to, nothing may be null, a bound that is
not part of its range is a flag beside it, and objects are closed by pruning instead of by a word.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel

from rise_contracts.pools import StagePool
from rise_contracts.resources import ModelFamily, RelayJob
from rise_contracts.status import ModelFamilyStatus, RelayJobStatus, StagePoolStatus

Schema = dict[str, Any]
GROUP, VERSION = "rise-relay.io", "v1alpha1"
INT64_MAX = 2**63 - 1
HEADER = "# Made by `make crds` from the models in services/contracts. Do not edit.\n"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`; those of `wide` are shown with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a definition has beside its schema."""

    resource: type[BaseModel]
    status: type[BaseModel]
    plural: str
    short: str
    scope: Literal["Namespaced", "Cluster"]
    columns: tuple[Column, ...]
    selectable: tuple[str, ...]
    scalable: bool = False


def _condition(name: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{name}")].{field}'


def _first_stage(tier: str, field: str) -> str:
    return f'.status.stages[?(@.tier=="{tier}")].{field}'


DEFINITIONS = (
    Definition(
        RelayJob,
        RelayJobStatus,
        "relayjobs",
        "rj",
        "Namespaced",
        (
            Column("Phase", ".status.phase"),
            Column("Arm", ".status.decision.arm", description="what the scheduler chose"),
            Column("Stages", ".status.progress", description="done of all"),
            Column("Attempt", ".status.attempt", "integer"),
            Column("Seconds", ".status.seconds", "number", description="from acceptance to the end"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Family", ".spec.family", wide=True),
            Column("Edge", _first_stage("edge", "worker"), wide=True, description="worker"),
            Column("Edge node", _first_stage("edge", "node"), wide=True),
            Column("Device", _first_stage("device", "worker"), wide=True, description="worker"),
            Column("Device node", _first_stage("device", "node"), wide=True),
            Column("Bytes", ".status.bytesHandedOver", "integer", wide=True, description="of latents handed over"),
            Column("Waiting", _condition("Scheduled", "reason"), wide=True, description="why, while it does"),
            Column("Failure", _condition("Failed", "reason"), wide=True),
        ),
        (".spec.family", ".spec.placement", ".status.phase", ".status.jobId"),
    ),
    Definition(
        ModelFamily,
        ModelFamilyStatus,
        "modelfamilies",
        "mf",
        "Cluster",
        (
            Column("Architecture", ".spec.architecture"),
            Column("Size", ".spec.defaultSize", "integer", description="pixels a side where a job says none"),
            Column("Accepted", _condition("Accepted", "status")),
            Column("Ready", _condition("Ready", "status")),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Message", _condition("Ready", "message"), wide=True),
        ),
        (".spec.architecture",),
    ),
    Definition(
        StagePool,
        StagePoolStatus,
        "stagepools",
        "sp",
        "Namespaced",
        (
            Column("Tier", ".spec.tier"),
            Column("Family", ".spec.family"),
            Column("Replicas", ".spec.replicas", "integer"),
            Column("Ready", ".status.readyReplicas", "integer"),
            Column("Busy", ".status.busyReplicas", "integer"),
            Column("Reason", _condition("Ready", "reason")),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Members", ".status.members", wide=True, description="loaded somewhere"),
            Column("Nodes", ".status.nodes", wide=True),
            Column("Message", _condition("Ready", "message"), wide=True),
        ),
        (".spec.tier", ".spec.family"),
        scalable=True,
    ),
)


def definitions() -> dict[str, Schema]:
    """Every definition, by its plural name."""
    return {wanted.plural: definition(wanted) for wanted in DEFINITIONS}


def definition(wanted: Definition) -> Schema:
    """One CustomResourceDefinition."""
    kind = wanted.resource.__name__
    subresources: Schema = {"status": {}}
    if wanted.scalable:
        subresources["scale"] = {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_column(column) for column in wanted.columns],
        "selectableFields": [{"jsonPath": path} for path in wanted.selectable],
        "subresources": subresources,
        "schema": {"openAPIV3Schema": resource_schema(wanted.resource, wanted.status)},
    }
    names = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": wanted.plural,
        "singular": kind.lower(),
        "shortNames": [wanted.short],
        "categories": ["relay"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{wanted.plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": wanted.scope, "versions": [version]},
    }


def resource_schema(resource: type[BaseModel], status: type[BaseModel]) -> Schema:
    """The structural schema of a whole object. What the API server keeps of its metadata is the API server's."""
    made = structural(resource.model_json_schema())
    properties = made["properties"]
    schema: Schema = {
        "type": "object",
        "description": made["description"],
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": properties["spec"],
            "status": structural(status.model_json_schema(mode="serialization")),
        },
    }
    schema["properties"]["status"].pop("required", None)
    if "x-kubernetes-validations" in made:
        schema["x-kubernetes-validations"] = made["x-kubernetes-validations"]
    return schema


def structural(schema: Schema) -> Schema:
    """What Kubernetes takes of a JSON schema as pydantic writes it."""
    return _structural(schema, schema.get("$defs", {}))


_KEPT = (
    "type",
    "description",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "maxProperties",
    "enum",
    "required",
    "x-kubernetes-int-or-string",
    "x-kubernetes-validations",
)


def _structural(schema: Schema, shared: dict[str, Schema]) -> Schema:
    schema = _resolved(schema, shared)
    made: Schema = {key: schema[key] for key in _KEPT if key in schema}
    if "const" in schema:
        made.update(type="string", enum=[schema["const"]])
    for bound in ("minimum", "maximum"):
        exclusive = f"exclusive{bound.capitalize()}"
        if exclusive in schema:
            made.update({bound: schema[exclusive], exclusive: True})
    if made.get("type") == "integer":
        made["format"] = "int64"
        if made.get("maximum") == INT64_MAX:
            del made["maximum"]  # the format says so; the API server reads bounds as float64, where it is one too many
    if made.get("type") == "number":
        made["format"] = "double"
    if schema.get("default") is not None:
        made["default"] = _without_null(schema["default"])
    if "properties" in schema:
        made["properties"] = {name: _structural(part, shared) for name, part in schema["properties"].items()}
    elif isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = _structural(schema["additionalProperties"], shared)
    if "items" in schema:
        made["items"] = _structural(schema["items"], shared)
        made.update(_list_type(made["items"]))
    return made


def _list_type(items: Schema) -> Schema:
    """Conditions are merged by their type; every other list is replaced as a whole."""
    if "lastTransitionTime" in items.get("properties", {}):
        return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return {"x-kubernetes-list-type": "atomic"}


def _resolved(schema: Schema, shared: dict[str, Schema]) -> Schema:
    """The schema itself, where it is referred to, or one of two that may be null. What is said beside it wins."""
    beside = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf")}
    if "$ref" in schema:
        return {**_resolved(shared[schema["$ref"].rsplit("/", 1)[1]], shared), **beside}
    if "anyOf" in schema:
        (one,) = (part for part in schema["anyOf"] if part.get("type") != "null")
        return {**_resolved(one, shared), **beside}
    return schema


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(part) for key, part in value.items() if part is not None}
    return value


def _column(column: Column) -> Schema:
    made: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        made["description"] = column.description
    if column.wide:
        made["priority"] = 1
    return made


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice twice, instead of referring to it: people and other tools read these files."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text(schema: Schema) -> str:
    """A definition as a file."""
    return HEADER + str(yaml.dump(schema, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120))


def main(arguments: Iterable[str]) -> int:
    (folder,) = (Path(argument) for argument in arguments)
    folder.mkdir(parents=True, exist_ok=True)
    for plural, schema in definitions().items():
        (folder / f"{plural}.yaml").write_text(text(schema), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
