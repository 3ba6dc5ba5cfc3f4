"""An existing cluster is met by file and context, both right, and is left standing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rise_contracts import errors
from tests.kube.clusters import open_cluster
from tests.kube.controlplane import ControlPlane


@pytest.fixture
def two_contexts(control_plane: ControlPlane, tmp_path: Path) -> Path:
    """A kubeconfig as people have them: the current context leads elsewhere, another one to our control plane."""
    config = yaml.safe_load(control_plane.kubeconfig.read_text())
    config["clusters"].append({"name": "elsewhere", "cluster": {"server": "https://127.0.0.1:1"}})
    config["contexts"].append({"name": "elsewhere", "context": {"cluster": "elsewhere", "user": "rise-test"}})
    config["current-context"] = "elsewhere"
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    return path


def test_the_named_context_is_used_and_not_the_current_one(two_contexts: Path, tmp_path: Path) -> None:
    environ = {"RISE_TEST_KUBECONFIG": str(two_contexts), "RISE_TEST_CONTEXT": "rise-test"}
    cluster = open_cluster(tmp_path, environ)
    assert cluster.kubectl("default").exists("serviceaccount", "default")
    assert "elsewhere" not in cluster.kubeconfig.read_text()
    cluster.close()
    assert cluster.kubectl("default").exists("serviceaccount", "default")


def test_a_context_that_is_not_in_the_file_is_refused(two_contexts: Path, tmp_path: Path) -> None:
    environ = {"RISE_TEST_KUBECONFIG": str(two_contexts), "RISE_TEST_CONTEXT": "lab"}
    with pytest.raises(errors.InvalidInput, match=r"RISE_TEST_CONTEXT: wanted a context in .*, got 'lab'"):
        open_cluster(tmp_path, environ)
