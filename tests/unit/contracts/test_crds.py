"""The definitions: structural, bounded, described, and equal to the files; each rule has its counterpart and a case."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from rise_contracts import crds
from rise_contracts.pools import StagePool
from rise_contracts.resources import ModelFamily, RelayJob, RelayJobSpec
from rise_contracts.status import JobCondition, ModelFamilyStatus, RelayJobStatus, StagePoolStatus
from tests.locks import ROOT
from tests.unit.contracts import refusals
from tests.unit.contracts.refusals import Refusal

Schema = dict[str, Any]
KINDS: dict[str, type[BaseModel]] = {"RelayJob": RelayJob, "ModelFamily": ModelFamily, "StagePool": StagePool}
DEFINITIONS = crds.definitions()
every_definition = pytest.mark.parametrize("plural", DEFINITIONS)


def version(plural: str) -> Schema:
    (only,) = DEFINITIONS[plural]["spec"]["versions"]
    assert isinstance(only, dict)
    return only


def parts(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema in a schema, itself first, each with its path."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from parts(part, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(schema.get(key), dict):
            yield from parts(schema[key], path + mark)


def all_parts(plural: str) -> list[tuple[str, Schema]]:
    return list(parts(version(plural)["schema"]["openAPIV3Schema"]))


def ours(plural: str) -> list[tuple[str, Schema]]:
    """The schemas below spec and status."""
    return [(path, part) for path, part in all_parts(plural) if path.startswith((".spec", ".status"))]


def stated_rules() -> set[str]:
    """The messages of all rules."""
    found = [part.get("x-kubernetes-validations", ()) for plural in DEFINITIONS for _, part in all_parts(plural)]
    return {rule["message"] for several in found for rule in several}


@every_definition
def test_the_file_is_what_the_models_give(plural: str) -> None:
    text = (ROOT / "crds" / f"{plural}.yaml").read_text(encoding="utf-8")
    assert text == crds.text(DEFINITIONS[plural]), "run `make crds`, and commit what it writes"
    assert yaml.safe_load(text) == DEFINITIONS[plural]


def test_the_command_writes_all_files_and_they_are_all_there_are(tmp_path: Path) -> None:
    assert crds.main([str(tmp_path / "new")]) == 0
    wanted = {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()}
    assert wanted == {path.name: path.read_bytes() for path in (ROOT / "crds").iterdir()}


@every_definition
def test_nothing_is_left_that_a_structural_schema_may_not_have(plural: str) -> None:
    text = crds.text(DEFINITIONS[plural])
    for word in ("$ref", "$defs", "title:", "anyOf", "const:", "propertyNames", "null", "&id"):
        assert word not in text, word
    for path, part in all_parts(plural):
        assert part.get("additionalProperties") is not False, path
        assert "type" in part or part.get("x-kubernetes-int-or-string"), path
        for bound in ("exclusiveMinimum", "exclusiveMaximum"):
            assert part.get(bound) in (None, True), path


@every_definition
def test_every_text_list_and_map_is_bounded(plural: str) -> None:
    for path, part in ours(plural):
        kind = part.get("type")
        if part.get("x-kubernetes-int-or-string") or (kind == "string" and "enum" not in part):
            assert "maxLength" in part, path
        if kind == "array":
            assert "maxItems" in part, path
        if kind == "object" and "additionalProperties" in part:
            assert "maxProperties" in part, path


@every_definition
def test_every_number_has_a_format_and_a_bound_that_a_double_can_hold(plural: str) -> None:
    for path, part in ours(plural):
        if part.get("type") in ("integer", "number"):
            assert part["format"] == {"integer": "int64", "number": "double"}[part["type"]], path
            for bound in ("minimum", "maximum"):
                assert float(part.get(bound, 0)) == part.get(bound, 0) and abs(part.get(bound, 0)) < 2**53, path


@every_definition
def test_every_field_is_described_in_sentences(plural: str) -> None:
    for path, part in ours(plural):
        if not path.endswith(("[]", "{}")):
            described = part.get("description", "")
            assert described and not described[0].islower() and described.endswith("."), f"{path}: {described!r}"


@every_definition
def test_conditions_are_merged_by_type_and_other_lists_replaced(plural: str) -> None:
    for path, part in ours(plural):
        if path == ".status.conditions":
            assert (part["x-kubernetes-list-type"], part["x-kubernetes-list-map-keys"]) == ("map", ["type"])
        elif part.get("type") == "array":
            assert part["x-kubernetes-list-type"] == "atomic", path


@every_definition
def test_columns_and_selectable_fields_lead_somewhere(plural: str) -> None:
    known = {path.replace("[]", "") for path, _ in all_parts(plural)}
    columns = version(plural)["additionalPrinterColumns"]
    assert [column["name"] for column in columns].count("Age") == 1
    for column in columns:
        before, _, after = column["jsonPath"].partition("[?(")
        path = before + after.partition(")]")[2]
        assert path in known or path == ".metadata.creationTimestamp", column
        assert "[*]" not in path, f"{column}: kubectl shows the first of several alone"
    selectable = [field["jsonPath"] for field in version(plural)["selectableFields"]]
    assert set(selectable) <= known and len(selectable) <= 8


def test_names_and_scopes() -> None:
    wanted = {"relayjobs": ("rj", "Namespaced"), "modelfamilies": ("mf", "Cluster"), "stagepools": ("sp", "Namespaced")}
    found = {}
    for plural, made in DEFINITIONS.items():
        names = made["spec"]["names"]
        assert made["metadata"]["name"] == f"{plural}.rise-relay.io"
        assert names["categories"] == ["relay"]
        found[plural] = (*names["shortNames"], made["spec"]["scope"])
    assert found == wanted


def test_pools_alone_can_be_scaled() -> None:
    assert [plural for plural in DEFINITIONS if "scale" in version(plural)["subresources"]] == ["stagepools"]
    assert all("status" in version(plural)["subresources"] for plural in DEFINITIONS)


def test_the_columns_of_conditions_name_conditions_that_there_are() -> None:
    paths = [column["jsonPath"] for column in version("relayjobs")["additionalPrinterColumns"]]
    named = {path.split('"')[1] for path in paths if ".conditions[" in path}
    assert named and named <= set(JobCondition)


@pytest.mark.parametrize(
    ("model", "status"),
    [(RelayJob, RelayJobStatus), (ModelFamily, ModelFamilyStatus), (StagePool, StagePoolStatus)],
    ids=lambda model: model.__name__,
)
def test_every_field_of_the_models_is_there(model: type[BaseModel], status: type[BaseModel]) -> None:
    schema = crds.resource_schema(model, status)
    spec = model.model_fields["spec"].annotation
    assert spec is not None
    for name, part in (("spec", spec), ("status", status)):
        assert list(schema["properties"][name]["properties"]) == [field.alias for field in part.model_fields.values()]


def test_defaults_of_the_models_are_those_of_the_server() -> None:
    spec = version("relayjobs")["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    given = {name: part["default"] for name, part in spec.items() if "default" in part}
    assert RelayJobSpec.model_validate({"prompt": "x", **given}) == RelayJobSpec(prompt="x")
    assert {"images": 1, "preference": 0.5, "placement": "Warm", "suspend": False}.items() <= given.items()
    assert "seed" not in given


def test_rules_are_many_and_each_says_what_is_allowed() -> None:
    stated = stated_rules()
    assert len(stated) >= 20
    for message in stated:
        assert len(message.split()) >= 3 and not message.endswith("."), message


def test_every_rule_has_a_case_that_it_refuses() -> None:
    told = [*(case.told for case in refusals.BY_RULES), *(change.told for change in refusals.FORBIDDEN_CHANGES)]
    assert [message for message in stated_rules() if not any(part in message for part in told)] == []


def test_all_of_a_job_but_two_fields_is_fixed() -> None:
    fields = {str(field.alias) for field in RelayJobSpec.model_fields.values()}
    fixed = {change.field for change in refusals.FORBIDDEN_CHANGES if change.kind == "RelayJob"}
    assert fields - fixed == {"suspend", "ttlSecondsAfterFinished"}


@pytest.mark.parametrize("refusal", [*refusals.BY_RULES, *refusals.BY_BOUNDS], ids=str)
def test_the_models_refuse_what_a_cluster_refuses_but_paths(refusal: Refusal) -> None:
    model = KINDS[refusal.kind]
    if refusal.everywhere:
        with pytest.raises(ValidationError):
            model.model_validate(refusal.manifest)
    else:
        model.model_validate(refusal.manifest)
        assert "path" in refusal.told, "paths may lead anywhere on one's own machine; all else is refused everywhere"


@pytest.mark.parametrize("manifest", refusals.ACCEPTED, ids=lambda manifest: manifest["kind"])
def test_the_models_take_what_a_cluster_takes(manifest: Schema) -> None:
    KINDS[manifest["kind"]].model_validate(manifest)


def test_a_null_is_told_from_two_alternatives() -> None:
    with pytest.raises(ValueError, match="too many values"):
        crds.structural({"anyOf": [{"type": "string"}, {"type": "integer"}]})
