"""The definitions on a real API server: what it takes, what it refuses and in which words, and what kubectl shows."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from rise_contracts import manifest
from rise_contracts.pools import StagePool
from rise_contracts.resources import ModelFamily, RelayJob
from tests.kube.clusters import Cluster
from tests.kube.kubectl import Kubectl, KubectlFailed, until
from tests.locks import ROOT
from tests.unit.contracts import refusals
from tests.unit.contracts.refusals import Change, Refusal, written

KINDS: dict[str, type[BaseModel]] = {"RelayJob": RelayJob, "ModelFamily": ModelFamily, "StagePool": StagePool}
PLURALS = ("relayjobs", "modelfamilies", "stagepools")
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
SINCE = "2026-01-01T00:00:00Z"


pytestmark = pytest.mark.usefixtures("definitions")


@pytest.fixture
def family(kubectl: Kubectl) -> Iterator[str]:
    """The name of a family of the test's own, which is in no namespace."""
    name = f"{kubectl.namespace}-family"
    yield name
    kubectl.delete("modelfamily", name)


def try_out(kubectl: Kubectl, wanted: dict[str, Any], verb: str = "create") -> str:
    """What the API server says of a manifest; raises KubectlFailed where it refuses it. Nothing is kept."""
    return kubectl.run(verb, "--dry-run=server", "-f", "-", stdin=json.dumps(wanted))


def refused(kubectl: Kubectl, wanted: dict[str, Any], verb: str = "create") -> str:
    with pytest.raises(KubectlFailed) as caught:
        try_out(kubectl, wanted, verb)
    return caught.value.stderr


def job(name: str = "mine", **spec: Any) -> dict[str, Any]:
    return written("RelayJob", name, **spec)


def set_status(kubectl: Kubectl, what: str, name: str, **status: Any) -> None:
    """Write a status as the operator does: through the subresource."""
    patch = json.dumps({"status": status})
    kubectl.run("patch", what, name, "--subresource=status", "--type=merge", "-p", patch)


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    times = {"lastTransitionTime": SINCE, "observedGeneration": 1}
    return {"type": kind, "status": status, "reason": reason, "message": "", **times}


def rows(text: str) -> dict[str, list[str]]:
    """The cells of a table that kubectl printed, by column; columns begin where their titles do."""
    head, *lines = text.splitlines()
    starts = [0, *(at for at in range(2, len(head)) if head[at - 2 : at] == "  " and head[at] != " ")]
    ends = [*starts[1:], None]
    return {head[a:b].strip(): [line[a:b].strip() for line in lines] for a, b in zip(starts, ends, strict=True)}


@pytest.mark.parametrize("plural", PLURALS)
def test_the_server_finds_nothing_wrong_with_a_definition(cluster: Cluster, plural: str) -> None:
    found = cluster.kubectl().get("crd", f"{plural}.rise-relay.io")
    conditions = {each["type"]: each["status"] for each in found["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}, "NonStructuralSchema and the like"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_taken(kubectl: Kubectl, example: Path) -> None:
    kubectl.run("apply", "--server-side", "--dry-run=server", "-f", str(example))


@pytest.mark.parametrize("wanted", refusals.ACCEPTED, ids=lambda wanted: wanted["kind"])
def test_what_the_models_take_is_taken_and_means_the_same(kubectl: Kubectl, wanted: dict[str, Any]) -> None:
    kept = json.loads(kubectl.run("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(wanted)))
    model = KINDS[wanted["kind"]]
    assert model.model_validate({**wanted, "spec": kept["spec"]}) == model.model_validate(wanted)


@pytest.mark.parametrize("refusal", [*refusals.BY_RULES, *refusals.BY_BOUNDS], ids=str)
def test_what_is_not_allowed_is_refused_with_the_reason(kubectl: Kubectl, refusal: Refusal) -> None:
    assert refusal.told in refused(kubectl, refusal.manifest)


def with_field(change: Change, name: str, value: Any) -> dict[str, Any]:
    return written(change.kind, name, **({} if value is None else {change.field: value}))


@pytest.mark.parametrize("change", refusals.FORBIDDEN_CHANGES, ids=str)
def test_what_is_fixed_cannot_be_changed(kubectl: Kubectl, family: str, change: Change) -> None:
    kubectl.apply(with_field(change, family, change.before))
    assert change.told in refused(kubectl, with_field(change, family, change.after), "replace")


@pytest.mark.parametrize("change", refusals.ALLOWED_CHANGES, ids=str)
def test_what_may_change_can_be_changed(kubectl: Kubectl, family: str, change: Change) -> None:
    kubectl.apply(with_field(change, family, change.before))
    try_out(kubectl, with_field(change, family, change.after), "replace")


def test_a_job_that_is_applied_again_is_the_same_job(kubectl: Kubectl) -> None:
    text = (ROOT / "examples" / "fixed-relay.yaml").read_text()
    for _ in range(2):
        kubectl.apply(text)
        kubectl.apply(text, server_side=False)
    assert kubectl.get("rj", "two-shapes-fixed")["metadata"]["generation"] == 1


def test_a_field_that_is_not_known_is_refused_and_named(kubectl: Kubectl) -> None:
    told = refused(kubectl, job(promt="a red circle", relay={"mod": "Auto"}))
    assert 'unknown field "spec.promt"' in told
    assert 'unknown field "spec.relay.mod"' in told


def test_a_family_is_of_no_namespace_and_the_rest_is(kubectl: Kubectl) -> None:
    lines = kubectl.run("api-resources", "--api-group=rise-relay.io", "--no-headers").splitlines()
    found = {line.split()[-1]: (line.split()[1], line.split()[-2]) for line in lines}
    assert found == {"RelayJob": ("rj", "true"), "ModelFamily": ("mf", "false"), "StagePool": ("sp", "true")}


def test_one_word_lists_all_that_is_of_rise(kubectl: Kubectl) -> None:
    kubectl.apply(job(), written("StagePool"))
    named = kubectl.run("get", "relay", "-o", "name").split()
    assert {"relayjob.rise-relay.io/mine", "stagepool.rise-relay.io/mine"} <= set(named)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("relayjob.spec.relay", "How the job is cut. `Auto` leaves it to the scheduler"),
        ("relayjob.spec.relay.stages", "The noise level (sigma, standard deviation of the noise)"),
        ("relayjob.spec", "Delete the job and its pictures this many seconds after its end"),
        ("relayjob.status.conditions", "Why, in a word that programs may rely on."),
        ("modelfamily.spec.members", "The highest noise level it was trained for"),
        ("stagepool.spec.resources", "nvidia.com/gpu: 1 is a GPU"),
    ],
)
def test_kubectl_explains(kubectl: Kubectl, path: str, told: str) -> None:
    assert told in " ".join(kubectl.run("explain", path).split())


RUNNING = {
    "phase": "Running",
    "attempt": 2,
    "progress": "1/2",
    "decision": {"id": "d-1", "arm": "large:6@1.2+small:6", "policy": "linucb"},
    "stages": [
        {"member": "large", "tier": "edge", "pool": "edge", "worker": "edge-7", "node": "node-a", "steps": 6},
        {"member": "small", "tier": "device", "pool": "phones", "worker": "phone-3", "steps": 6},
    ],
    "bytesHandedOver": 65536,
    "conditions": [condition("Scheduled", "True", "Scheduled")],
}


def test_columns_say_where_a_job_stands(kubectl: Kubectl) -> None:
    kubectl.apply(job("waits"), job("runs", family="sd15"))
    set_status(kubectl, "rj", "waits", phase="Pending", conditions=[condition("Scheduled", "False", "NoConfiguration")])
    set_status(kubectl, "rj", "runs", **RUNNING)
    plain = rows(kubectl.run("get", "rj"))
    assert list(plain) == ["NAME", "PHASE", "ARM", "STAGES", "ATTEMPT", "SECONDS", "AGE"]
    assert plain["NAME"] == ["runs", "waits"]
    assert plain["PHASE"] == ["Running", "Pending"]
    assert plain["ARM"] == ["large:6@1.2+small:6", ""]
    assert (plain["STAGES"], plain["ATTEMPT"]) == (["1/2", ""], ["2", ""])
    wide = rows(kubectl.run("get", "rj", "-o", "wide"))
    assert wide["FAMILY"] == ["sd15", "rise-shapes"]
    assert (wide["EDGE"][0], wide["EDGE NODE"][0]) == ("edge-7", "node-a")
    assert (wide["DEVICE"][0], wide["DEVICE NODE"][0]) == ("phone-3", "")
    assert (wide["BYTES"][0], wide["WAITING"][1]) == ("65536", "NoConfiguration")


def test_columns_say_what_a_pool_has(kubectl: Kubectl) -> None:
    kubectl.apply(written("StagePool", replicas=3))
    ready = condition("Ready", "False", "Loading")
    set_status(kubectl, "sp", "mine", replicas=3, readyReplicas=1, busyReplicas=1, nodes=["a", "b"], conditions=[ready])
    wide = rows(kubectl.run("get", "sp", "-o", "wide"))
    assert [wide[name][0] for name in ("TIER", "FAMILY", "REPLICAS", "READY", "BUSY", "REASON")] == [
        "edge",
        "rise-shapes",
        "3",
        "1",
        "1",
        "Loading",
    ]
    assert wide["NODES"] == ['["a","b"]']


def test_fields_select_objects(kubectl: Kubectl) -> None:
    kubectl.apply(job("one"), job("two", family="sd15"), job("three", placement="Dedicated"))
    kubectl.apply(written("StagePool", "edge"), written("StagePool", "device", tier="device"))
    set_status(kubectl, "rj", "one", phase="Running")

    def selected(kind: str, selector: str) -> list[str]:
        return [each["metadata"]["name"] for each in kubectl.list(kind, f"--field-selector={selector}")]

    assert selected("rj", "spec.family=sd15") == ["two"]
    assert selected("rj", "spec.placement=Dedicated") == ["three"]
    assert selected("rj", "status.phase=Running") == ["one"]
    assert selected("rj", "spec.family=rise-shapes,spec.placement=Warm") == ["one"]
    assert selected("sp", "spec.tier=device") == ["device"]


def test_kubectl_waits_for_a_condition(kubectl: Kubectl) -> None:
    kubectl.apply(job())
    with pytest.raises(KubectlFailed, match="timed out"):
        kubectl.wait("rj/mine", "condition=Complete", seconds=1)
    set_status(kubectl, "rj", "mine", phase="Complete", conditions=[condition("Complete", "True", "Completed")])
    kubectl.wait("rj/mine", "condition=Complete", seconds=10)


def test_spec_and_status_are_written_apart(kubectl: Kubectl) -> None:
    kubectl.apply({**job(), "status": {"phase": "Complete"}})
    assert "phase" not in kubectl.get("rj", "mine").get("status", {}), "a person cannot say that a job is done"
    kubectl.run("patch", "rj", "mine", "--type=merge", "-p", '{"status": {"phase": "Complete"}}')
    assert "phase" not in kubectl.get("rj", "mine").get("status", {})
    patch = '{"spec": {"suspend": true}, "status": {"phase": "Pending"}}'
    kubectl.run("patch", "rj", "mine", "--subresource=status", "--type=merge", "-p", patch)
    found = kubectl.get("rj", "mine")
    assert (found["spec"]["suspend"], found["status"]["phase"]) == (False, "Pending")
    assert found["metadata"]["generation"] == 1, "a status is no new wish"


def test_conditions_of_two_writers_are_merged_by_type(kubectl: Kubectl) -> None:
    kubectl.apply(job())
    for kind in ("Accepted", "Scheduled"):
        status = {"conditions": [condition(kind, "True", kind)]}
        head = {"apiVersion": "rise-relay.io/v1alpha1", "kind": "RelayJob", "metadata": {"name": "mine"}}
        how = ("--server-side", "--subresource=status", f"--field-manager={kind.lower()}", "-f", "-")
        kubectl.run("apply", *how, stdin=json.dumps({**head, "status": status}))
    found = kubectl.get("rj", "mine")["status"]["conditions"]
    assert sorted(each["type"] for each in found) == ["Accepted", "Scheduled"]


def test_a_status_is_checked_too(kubectl: Kubectl) -> None:
    kubectl.apply(job())
    with pytest.raises(KubectlFailed, match="supported values"):
        set_status(kubectl, "rj", "mine", phase="Done")
    with pytest.raises(KubectlFailed, match=r"conditions\[1\]: Duplicate value"):
        set_status(kubectl, "rj", "mine", conditions=[condition("Failed", "True", "Failed")] * 2)


def test_a_pool_is_scaled(kubectl: Kubectl) -> None:
    kubectl.apply(written("StagePool"))
    set_status(kubectl, "sp", "mine", replicas=1, selector="rise-relay.io/pool=mine")
    kubectl.run("scale", "sp", "mine", "--replicas=3", "--current-replicas=1")
    assert kubectl.get("sp", "mine")["spec"]["replicas"] == 3
    scale = kubectl.get("sp", "mine", "--subresource=scale")
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (3, 1)
    assert scale["status"]["selector"] == "rise-relay.io/pool=mine"
    with pytest.raises(KubectlFailed, match="less than or equal to 10000"):
        kubectl.run("scale", "sp", "mine", "--replicas=10001")


def test_a_watch_by_field_sees_what_comes_to_match(kubectl: Kubectl) -> None:
    kubectl.apply(job("early"), job("late"))
    set_status(kubectl, "rj", "early", phase="Complete")

    def complete() -> list[str]:
        return [each["metadata"]["name"] for each in kubectl.list("rj", "--field-selector=status.phase=Complete")]

    assert complete() == ["early"]
    set_status(kubectl, "rj", "late", phase="Complete")
    assert until(complete, lambda names: len(names) == 2, 10, "complete jobs") == ["early", "late"]


def test_what_the_models_write_is_taken(kubectl: Kubectl) -> None:
    several = itertools.chain.from_iterable(manifest.load(path.read_text(), path.name) for path in EXAMPLES)
    for resource in several:
        kubectl.run("apply", "--dry-run=server", "--server-side", "-f", "-", stdin=manifest.dump(resource))
        whole = resource.model_dump_json(by_alias=True, exclude_none=True, include={"api_version", "kind", "spec"})
        name = {"metadata": {"name": resource.metadata.name}}
        try_out(kubectl, {**json.loads(whole), **name})
