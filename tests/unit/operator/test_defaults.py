"""What an installation brings along: which manifest a ConfigMap holds, and when it is another one."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from rise_contracts.errors import InvalidInput
from rise_operator.api import Object
from rise_operator.defaults import APPLIED, manifest_of

POOL = {"apiVersion": "rise-relay.io/v1alpha1", "kind": "StagePool", "metadata": {"name": "edge"}}
FAMILY = {"apiVersion": "rise-relay.io/v1alpha1", "kind": "ModelFamily", "metadata": {"name": "rise-shapes"}}


def config_map(body: Any, uid: str = "1234") -> Object:
    text = body if isinstance(body, str) else yaml.safe_dump(body)
    meta = {"name": "rise-default", "namespace": "rise", "uid": uid}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"manifest.yaml": text}}


def applied(body: Object) -> str:
    return str(body["metadata"]["annotations"][APPLIED])


def test_a_pool_is_in_the_namespace_of_its_config_map_and_goes_with_it() -> None:
    made = manifest_of(config_map({**POOL, "spec": {"tier": "edge"}}))
    assert made["spec"] == {"tier": "edge"}
    assert made["metadata"]["namespace"] == "rise"
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "rise-default", "uid": "1234"}
    assert made["metadata"]["ownerReferences"] == [owner]


def test_a_family_belongs_to_nobody_for_what_has_no_namespace_cannot() -> None:
    made = manifest_of(config_map(FAMILY))
    assert made["metadata"].keys() == {"name", "annotations"}


def test_the_same_manifest_is_known_by_its_digest() -> None:
    made = manifest_of(config_map({**POOL, "spec": {"tier": "edge", "replicas": 1}}))
    again = manifest_of(config_map({"spec": {"replicas": 1, "tier": "edge"}, **POOL}))
    assert applied(made) == applied(again)


@pytest.mark.parametrize(
    "other",
    [
        config_map({**POOL, "spec": {"tier": "edge", "replicas": 2}}),
        config_map({**POOL, "spec": {"tier": "edge", "replicas": 1}}, uid="5678"),
    ],
    ids=["other values", "a ConfigMap that was made anew"],
)
def test_another_manifest_has_another_digest(other: Object) -> None:
    # The pool of a ConfigMap that is gone will be collected, so that it has to get its new owner.
    made = manifest_of(config_map({**POOL, "spec": {"tier": "edge", "replicas": 1}}))
    assert applied(manifest_of(other)) != applied(made)


def test_annotations_of_the_manifest_stay() -> None:
    body = {**POOL, "metadata": {"name": "edge", "annotations": {"note": "mine"}}}
    assert manifest_of(config_map(body))["metadata"]["annotations"]["note"] == "mine"


@pytest.mark.parametrize("body", ["", "- a list", {"kind": "Secret", "metadata": {"name": "x"}}, {"metadata": {}}])
def test_anything_else_is_refused(body: Any) -> None:
    with pytest.raises(InvalidInput, match="ConfigMap rise/rise-default: wanted a ModelFamily or StagePool"):
        manifest_of(config_map(body))


def test_a_config_map_without_data_is_refused() -> None:
    body = config_map(POOL)
    del body["data"]
    with pytest.raises(InvalidInput, match="got None"):
        manifest_of(body)
