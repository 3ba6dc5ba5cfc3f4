"""Manifests: what is read, and how mistakes are told."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rise_contracts import errors, manifest
from rise_contracts.pools import StagePool
from rise_contracts.resources import ModelFamily, RelayJob

HEAD = "apiVersion: rise-relay.io/v1alpha1\nkind: RelayJob\n"
JOB = HEAD + "metadata:\n  name: first\nspec:\n  prompt: a red circle\n  seed: 7\n"
FAMILY = "kind: ModelFamily\nmetadata: {name: f}\nspec:\n  base: {path: x}\n  members: [{name: large}]\n"
POOL = "kind: StagePool\nmetadata: {name: edge}\nspec: {tier: edge}\n"


def test_a_job_is_read() -> None:
    job = manifest.load_job(JOB)
    assert job.metadata.name == "first"
    assert (job.spec.prompt, job.spec.seed) == ("a red circle", 7)


def test_documents_are_read_in_order_and_empty_ones_skipped() -> None:
    found = manifest.load("---\n".join(["", JOB, FAMILY, POOL, ""]))
    assert [type(one) for one in found] == [RelayJob, ModelFamily, StagePool]


def complaint(text: str) -> str:
    with pytest.raises(errors.InvalidInput) as caught:
        manifest.load(text, "job.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "job.yaml: wanted at least one resource, got 'an empty document'"),
        ("a: [", "job.yaml:1:5: wanted valid YAML"),
        ("a: b: c", "job.yaml:1:5: wanted valid YAML"),
        ("\tx: 1", "job.yaml:1:1: wanted valid YAML"),
        ("just words", "job.yaml:1:1: wanted a resource"),
        ("- 1\n- 2\n", "job.yaml:1:1: wanted a resource"),
        ("kind: RelayJo\n", "job.yaml:1:7: kind: wanted a known kind, got 'RelayJo'; did you mean 'RelayJob'?"),
        ("spec: {}\n", "job.yaml:1:1: kind: wanted a known kind, got 'None'"),
        (HEAD, "spec: wanted a value, got 'nothing'"),
        (HEAD + "spec:\n  promt: x\n", "job.yaml:4:3: spec.promt: wanted a known field"),
        (HEAD + "spec:\n  promt: x\n", "did you mean 'prompt'?"),
        (HEAD + "spec:\n  prompt: x\n  steps: 900\n", "job.yaml:5:10: spec.steps: wanted at most 200"),
        (HEAD + "spec:\n  prompt: x\n  steps: many\n", "job.yaml:5:10: spec.steps"),
        (HEAD + "spec:\n  prompt: ''\n", "job.yaml:4:11: spec.prompt"),
        (HEAD + "spec:\n  prompt: x\n  relay: {mode: Fixed}\n", "mode Fixed needs at least one stage"),
        (HEAD + "spec:\n  prompt: x\n  relay:\n    mode: Fixed\n    stages:\n    - {member: a, step: 3}\n", ":8:19:"),
        (HEAD + "spec:\n  prompt: x\n  relay:\n    mode: Fixed\n    stages:\n    - {member: a, step: 3}\n", "'steps'?"),
        ("apiVersion: v2\nkind: RelayJob\nspec: {prompt: x}\n", "job.yaml:1:13: apiVersion"),
        (HEAD + "spec: !!python/object:os.system {}\n", "job.yaml:3:7: wanted plain YAML"),
        (HEAD + "spec: 3\n", "job.yaml:3:7: spec"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_its_place(text: str, told: str) -> None:
    assert told in complaint(text)


def test_further_mistakes_are_counted() -> None:
    assert "and 1 more" in complaint(HEAD + "spec:\n  prompt: x\n  steps: 900\n  images: 900\n")


def test_one_job_means_one() -> None:
    with pytest.raises(errors.InvalidInput, match="exactly one RelayJob"):
        manifest.load_job(JOB + "---\n" + JOB)
    with pytest.raises(errors.InvalidInput, match="exactly one RelayJob"):
        manifest.load_job(FAMILY)
    with pytest.raises(errors.InvalidInput, match="exactly one ModelFamily"):
        manifest.load_family(JOB)


def test_a_manifest_that_is_written_reads_back() -> None:
    job = manifest.load_job(JOB)
    text = manifest.dump(job)
    assert text.startswith("apiVersion: rise-relay.io/v1alpha1\nkind: RelayJob\n")
    assert manifest.load_job(text) == job
    family = manifest.load_family(FAMILY)
    assert manifest.load_family(manifest.dump(family)) == family


def outcome(text: str) -> str:
    """ "fine", or the complaint. Any other exception is a failure of the test."""
    try:
        manifest.load(text)
    except errors.InvalidInput as error:
        return str(error)
    return "fine"


@given(st.text(max_size=200))
def test_any_text_is_a_manifest_or_an_invalid_input(text: str) -> None:
    assert "\n" not in outcome(text)


WORDS = st.sampled_from(["kind", "spec", "metadata", "prompt", "relay", "stages", "name", "members", "base"])
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=12,
)


@given(DATA, st.sampled_from(["RelayJob", "ModelFamily", "StagePool"]))
def test_any_structure_is_a_manifest_or_an_invalid_input(data: object, kind: str) -> None:
    assert outcome(yaml.safe_dump({"kind": kind, "spec": data, "metadata": data}))
