"""Which cluster the tests run on is said on purpose, or it is our own."""

from __future__ import annotations

from pathlib import Path

import pytest

from rise_contracts import errors
from tests.kube.clusters import Choice, chosen, open_cluster


@pytest.mark.parametrize(
    ("environ", "want"),
    [
        ({}, Choice("own")),
        ({"RISE_TEST_CLUSTER": "own"}, Choice("own")),
        ({"RISE_TEST_CLUSTER": "kind"}, Choice("kind")),
        ({"RISE_TEST_KUBECONFIG": "/k", "RISE_TEST_CONTEXT": "lab"}, Choice("existing", Path("/k"), "lab")),
        ({"KUBECONFIG": "/somebody's"}, Choice("own")),
    ],
)
def test_the_environment_chooses(environ: dict[str, str], want: Choice) -> None:
    assert chosen(environ) == want


@pytest.mark.parametrize(
    ("environ", "field"),
    [
        ({"RISE_TEST_KUBECONFIG": "/k"}, "RISE_TEST_CONTEXT"),
        ({"RISE_TEST_CONTEXT": "lab"}, "RISE_TEST_KUBECONFIG"),
        ({"RISE_TEST_CLUSTER": "minikube"}, "RISE_TEST_CLUSTER"),
        (
            {"RISE_TEST_CLUSTER": "kind", "RISE_TEST_KUBECONFIG": "/k", "RISE_TEST_CONTEXT": "lab"},
            "RISE_TEST_CLUSTER",
        ),
    ],
)
def test_half_a_choice_and_two_at_once_are_refused_by_name(environ: dict[str, str], field: str) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        chosen(environ)
    assert caught.value.field == field


def test_kind_without_docker_is_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.InvalidInput, match="put kind on PATH, or leave RISE_TEST_CLUSTER out"):
        open_cluster(tmp_path, {"RISE_TEST_CLUSTER": "kind"})


def test_kind_whose_docker_does_not_answer_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tool in ("kind", "docker"):
        stand_in(tmp_path / tool, "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.InvalidInput, match="start the Docker engine, which does not answer"):
        open_cluster(tmp_path, {"RISE_TEST_CLUSTER": "kind"})


def test_a_kind_cluster_that_cannot_be_made_is_told_though_it_cannot_be_removed_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path / "docker", "exit 0")
    stand_in(tmp_path / "kind", 'echo "no $1" >&2; exit 1')
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="no create"):
        open_cluster(tmp_path, {"RISE_TEST_CLUSTER": "kind"})


def stand_in(path: Path, does: str) -> None:
    """A program of that name, which does no more than this line of shell."""
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)
