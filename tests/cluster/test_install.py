"""`make install` on a real control plane: what it waits for comes, and the example of the README is drawn."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cluster.conftest import IMAGES
from tests.cluster.installed import OPERATOR, Release, bring_defaults, values, written
from tests.kube import assets
from tests.kube.controlplane import ControlPlane
from tests.kube.kubectl import until
from tests.kube.pod_status import Image
from tests.locks import ROOT
from tests.servers import Server


@pytest.fixture
def release(bare_plane: ControlPlane) -> Release:
    return Release(bare_plane, "rise")


def test_an_installation_through_a_context_ends_with_the_example_drawn(
    release: Release, nats_server: Server, tmp_path: Path
) -> None:
    kubectl = release.kubectl
    release.plane.kubectl().run("create", "namespace", release.namespace)
    kubectl.run("create", "secret", "generic", "bus", f"--from-literal=token={nats_server.token}")
    operator = Image(IMAGES[OPERATOR].argv, {**IMAGES[OPERATOR].env, **release.operators_environment()})
    nodes = release.nodes(tmp_path, {**IMAGES, OPERATOR: operator})

    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in assets.TOOLS:
        (tools / tool).symlink_to(assets.find(tool).resolve())
    context = release.plane.kubectl().run("config", "current-context").strip()
    chosen = written(tmp_path, values(nats_server))
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "KUBECONFIG": str(release.plane.kubeconfig), "HOME": str(tmp_path)}
    script = [str(ROOT / "charts/kind/install"), context, "trial", "--values", chosen]
    done = subprocess.Popen(script, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        until(lambda: kubectl.exists("deployment", OPERATOR), bool, 60, "the operator's deployment")
        bring_defaults(release)
        for node in nodes:
            node.start()
        said, _ = done.communicate(timeout=300)
    finally:
        done.kill()
        for node in nodes:
            node.close()

    assert done.returncode == 0, said
    job = kubectl.get("relayjob", "first-picture")
    assert job["status"]["jobId"] in said and f"--context {context} --namespace rise port-forward" in said
    assert kubectl.get("deployment", OPERATOR)["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":trial")
