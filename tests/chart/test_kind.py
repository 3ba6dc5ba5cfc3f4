"""The scripts that put Rise on a cluster refuse what they were not told, before they touch anything."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from tests.kube import assets
from tests.locks import ROOT

SCRIPTS = ROOT / "charts" / "kind"
PLAIN = ("sh", "dirname", "basename", "grep", "cat", "cksum", "cut")
RECORDING = """#!/bin/sh
echo "${0##*/} $*" >> "$HOME/calls"
case "$*" in
"get clusters") cat "$HOME/clusters" ;;
"image inspect"*) cat "$HOME/built" ;;
"config get-contexts"*) echo kind-rise ;;
*jobId*) echo 3f1c ;;
esac
"""
"""What stands for docker, kind, kubectl and helm: writes down how it was called, and says what the test laid there."""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH with what a shell script takes for granted, and kubectl; neither Docker, kind nor helm."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PLAIN:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    (folder / "kubectl").symlink_to(assets.find("kubectl").resolve())
    return folder


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """Two clusters that nobody may touch unasked: nothing listens there."""
    file = tmp_path / "config"
    named = [{"name": name, "context": {"cluster": name, "user": "me"}} for name in ("production", "play.ground")]
    clusters = [{"name": each["name"], "cluster": {"server": "https://127.0.0.1:1"}} for each in named]
    users = [{"name": "me", "user": {}}]
    body = {"apiVersion": "v1", "kind": "Config", "current-context": "production", "contexts": named}
    file.write_text(json.dumps({**body, "clusters": clusters, "users": users}))
    return file


def run(
    script: str, tools: Path, kubeconfig: Path, arguments: Sequence[str] = (), **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(tools), "KUBECONFIG": str(kubeconfig), "HOME": str(tools), **more}
    command = [str(SCRIPTS / script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("context", ["", "productio", "production2", "play-ground", "prod.*"])
def test_an_installation_wants_a_context_by_its_full_name_and_lists_those_there_are(
    tools: Path, kubeconfig: Path, context: str
) -> None:
    done = run("install", tools, kubeconfig, [context, ""])
    assert done.returncode == 2
    first, *listed = done.stderr.splitlines()
    assert first.startswith("install: wanted CONTEXT=name") and f"got '{context or 'nothing'}'" in first
    assert sorted(listed) == ["play.ground", "production"]


def test_the_current_context_is_never_taken_by_itself(tools: Path, kubeconfig: Path) -> None:
    # It is `production`; a script that took it would go on to helm, which is not there.
    assert run("install", tools, kubeconfig).returncode == 2
    told = run("install", tools, kubeconfig, ["production"])
    assert told.returncode == 127 and "helm" in told.stderr


def test_helm_is_given_what_an_installation_is_given(tools: Path, kubeconfig: Path) -> None:
    record(tools)
    own = ["--set", "image.registry=registry.example.org/me"]
    assert run("install", tools, kubeconfig, ["kind-rise", "", *own]).returncode == 0
    (helm,) = re.findall(r"^helm .*$", (tools / "calls").read_text(), re.MULTILINE)
    assert helm.endswith(" ".join(own)) and "image.tag" not in helm


@pytest.mark.parametrize(("script", "missing"), [("up", "docker"), ("down", "kind")])
def test_what_is_missing_is_named(tools: Path, kubeconfig: Path, script: str, missing: str) -> None:
    done = run(script, tools, kubeconfig)
    assert done.returncode == 1
    assert done.stderr.startswith(f"kind-{script}: wanted {missing} on PATH, found none")
    assert done.stderr.count("\n") == 1


def test_a_docker_that_does_not_answer_is_named(tools: Path, kubeconfig: Path) -> None:
    false = shutil.which("false")
    assert false is not None
    for name in ("docker", "kind", "helm"):
        (tools / name).symlink_to(false)
    done = run("up", tools, kubeconfig)
    assert done.returncode == 1 and "wanted a Docker engine that answers" in done.stderr


def record(tools: Path) -> None:
    """Let every tool but those of the shell write down how it is called, and nothing more."""
    for name in ("docker", "kind", "kubectl", "helm"):
        (tools / name).unlink(missing_ok=True)
        (tools / name).write_text(RECORDING)
        (tools / name).chmod(0o755)
    (tools / "calls").unlink(missing_ok=True)


def brought_up(
    tools: Path, kubeconfig: Path, *arguments: str, there: str = "", built: str = "a b c", **more: str
) -> str:
    """What a `kind-up` called, line by line, beside the clusters that are there and with these images built."""
    record(tools)
    (tools / "clusters").write_text(there)
    (tools / "built").write_text(built)
    done = run("up", tools, kubeconfig, arguments, **more)
    assert done.returncode == 0, done.stderr
    return (tools / "calls").read_text()


def tag_of(calls: str) -> str:
    """The one tag under which the images were loaded, which is the one that helm was told."""
    (told,) = set(re.findall(r"image\.tag=([^,\s]+)", calls))
    loaded = re.findall(r"^kind load docker-image --name rise (\S+)$", calls, re.MULTILINE)
    assert loaded == [f"rise-{name}:{told}" for name in ("operator", "scheduler", "stage")]
    return str(told)


def test_what_was_built_anew_is_rolled_out_and_what_was_not_is_left(tools: Path, kubeconfig: Path) -> None:
    # Pods are made anew for another image alone: under one tag for every build they would stay those of the first.
    first = tag_of(brought_up(tools, kubeconfig))
    assert tag_of(brought_up(tools, kubeconfig, there="rise")) == first
    assert tag_of(brought_up(tools, kubeconfig, there="rise", built="a b d")) != first


def test_a_cluster_that_is_there_is_not_made_again(tools: Path, kubeconfig: Path) -> None:
    assert "kind create cluster" in brought_up(tools, kubeconfig, there="riser\nother\n")
    assert "kind create cluster" not in brought_up(tools, kubeconfig, there="other\nrise\n")


def test_the_image_of_the_nodes_and_the_base_of_ours_can_be_named(tools: Path, kubeconfig: Path) -> None:
    plain = brought_up(tools, kubeconfig)
    assert "BASE_IMAGE" not in plain and plain.count("docker build") == 3
    calls = brought_up(tools, kubeconfig, "--image", "local/node:v1", BASE_IMAGE="local/python:3.11")
    assert "kind create cluster --config charts/kind/cluster.yaml --wait 120s --image local/node:v1\n" in calls
    assert calls.count("--build-arg BASE_IMAGE=local/python:3.11 ") == 3


def test_the_kind_cluster_has_a_node_for_each_tier() -> None:
    cluster = yaml.safe_load((SCRIPTS / "cluster.yaml").read_text())
    tiers = [node.get("labels", {}).get("rise-relay.io/tier") for node in cluster["nodes"]]
    assert tiers == [None, "edge", "device"] and cluster["nodes"][0]["role"] == "control-plane"


def test_skaffold_builds_what_the_chart_runs() -> None:
    config = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    built = {item["image"]: item["docker"]["dockerfile"] for item in config["build"]["artifacts"]}
    values = yaml.safe_load((ROOT / "charts/rise/values.yaml").read_text())
    assert built.keys() == {values[name]["image"]["repository"] for name in ("operator", "scheduler", "stage")}
    assert all((ROOT / path).is_file() for path in built.values())
    (release,) = config["deploy"]["helm"]["releases"]
    assert (ROOT / release["chartPath"] / "Chart.yaml").is_file()
    for template, text in release["setValueTemplates"].items():
        component, _, part = template.split(".")
        assert part in values[component]["image"]
        assert text.endswith(f"_rise_{component}}}}}")
