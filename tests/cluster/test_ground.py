"""The ground itself: a control plane that answers, collects and schedules, and nodes that behave as kubelets do."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import pytest

from tests.cluster.conftest import TIER, NodeFactory
from tests.kube.controlplane import ControlPlane
from tests.kube.kubectl import Kubectl, KubectlFailed, until
from tests.kube.process_node import ProcessNode

SERVE = """\
import http.server, os, pathlib
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if pathlib.Path(self.path.strip("/")).exists() else 503)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["HEALTH_PORT"])), Answer).serve_forever()
"""
"""Answers well for each path that is a file in the pod's working folder."""

STUBBORN = """\
import signal, time
def say(*_): print("asked to end", flush=True)
signal.signal(signal.SIGTERM, say)
print("began", flush=True)
while True: time.sleep(60)
"""

POLITE = """\
import signal, sys, time
def end(*_): print("ended well", flush=True); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("began", flush=True)
while True: time.sleep(60)
"""


def pod(name: str, node: str, script: str = "", **more: Any) -> dict[str, Any]:
    """A pod of one container that runs a Python script, bound by its selector to one node."""
    selector = {"kubernetes.io/hostname": node}
    container: dict[str, Any] = {"name": "main", "image": "python", "args": ["-c", script], **more.pop("container", {})}
    spec: dict[str, Any] = {"nodeSelector": selector, "containers": [container], **more}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def main_of(seen: dict[str, Any]) -> dict[str, Any]:
    """The status of a pod's container; empty until a node has written one."""
    statuses = seen.get("status", {}).get("containerStatuses") or [{}]
    assert isinstance(statuses[0], dict)
    return statuses[0]


def condition(seen: dict[str, Any], kind: str) -> str:
    conditions = seen.get("status", {}).get("conditions", ())
    return next((str(each["status"]) for each in conditions if each["type"] == kind), "")


def until_it_wrote(node: ProcessNode, kubectl: Kubectl, name: str, text: str) -> None:
    until(lambda: node.log(kubectl.namespace, name, "main"), lambda log: text in log, 20, f"output of {name}")


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_the_server_is_the_version_that_is_pinned(control_plane: ControlPlane) -> None:
    assert "Server Version: v1.35.4" in control_plane.kubectl().run("version")


def test_what_belongs_to_a_deleted_owner_is_collected(kubectl: Kubectl) -> None:
    kubectl.run("create", "configmap", "owner")
    uid = kubectl.get("configmap", "owner")["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    meta = {"name": "owned", "ownerReferences": [owner]}
    kubectl.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    kubectl.delete("configmap", "owner")
    kubectl.until("configmap", "owned", lambda seen: not seen)


def test_a_deployment_becomes_ready_on_the_node_of_its_tier(
    kubectl: Kubectl, edge_1: ProcessNode, device_1: ProcessNode
) -> None:
    spec = {**pod("tail", device_1.name, POLITE)["spec"], "nodeSelector": {TIER: "device"}}
    labels = {"app": "tail"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    deployment = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    kubectl.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "tail"}, "spec": deployment})
    kubectl.wait("deployment/tail", "condition=Available")
    assert kubectl.get("deployment", "tail")["status"]["readyReplicas"] == 2
    assert {each["spec"]["nodeName"] for each in kubectl.list("pods", "-l", "app=tail")} == {device_1.name}


def test_a_pod_that_asks_for_more_gpus_than_there_are_stays_unscheduled(kubectl: Kubectl, edge_1: ProcessNode) -> None:
    asks = {"resources": {"limits": {"nvidia.com/gpu": "2"}}}
    kubectl.apply(pod("greedy", edge_1.name, POLITE, container=asks))
    seen = kubectl.until("pod", "greedy", lambda seen: condition(seen, "PodScheduled") == "False")
    assert "Insufficient nvidia.com/gpu" in seen["status"]["conditions"][0]["message"]


def test_a_container_gets_its_environment_as_the_pod_says(kubectl: Kubectl, edge_1: ProcessNode) -> None:
    kubectl.run("create", "configmap", "settings", "--from-literal=colour=red")
    kubectl.run("create", "secret", "generic", "token", "--from-literal=word=hush")
    env = [
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "token", "key": "word"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "token", "key": "other", "optional": True}}},
        {"name": "BOTH", "value": "$(COLOUR)-$(POD)"},
    ]
    show = "import os; print(*(os.environ.get(n) for n in 'NODE COLOUR WORD NONE BOTH PYTEST_CURRENT_TEST'.split()))"
    kubectl.apply(pod("told", edge_1.name, show, container={"env": env}, restartPolicy="Never"))
    kubectl.wait("pod/told", "jsonpath={.status.phase}=Succeeded")
    assert edge_1.log(kubectl.namespace, "told", "main").split() == "edge-1 red hush None red-told None".split()


def test_a_pod_that_refers_to_a_missing_secret_waits_for_it(kubectl: Kubectl, edge_1: ProcessNode) -> None:
    container = {"envFrom": [{"secretRef": {"name": "late"}}]}
    kubectl.apply(pod("waits", edge_1.name, POLITE, container=container))
    waits = "CreateContainerConfigError"
    kubectl.until("pod", "waits", lambda seen: main_of(seen).get("state", {}).get("waiting", {}).get("reason") == waits)
    kubectl.run("create", "secret", "generic", "late", "--from-literal=A=1")
    kubectl.wait("pod/waits", "condition=Ready")


def test_readiness_follows_the_probe(kubectl: Kubectl, edge_1: ProcessNode) -> None:
    probe = {"httpGet": {"path": "/ready", "port": 9999}, "periodSeconds": 1, "failureThreshold": 1}
    kubectl.apply(pod("probed", edge_1.name, SERVE, container={"readinessProbe": probe}))
    kubectl.until("pod", "probed", lambda seen: main_of(seen).get("started"))
    assert condition(kubectl.get("pod", "probed"), "Ready") == "False"
    ready = edge_1.pod_folder(kubectl.namespace, "probed") / "work" / "ready"
    ready.touch()
    kubectl.wait("pod/probed", "condition=Ready")
    ready.unlink()
    kubectl.wait("pod/probed", "condition=Ready=False")
    assert main_of(kubectl.get("pod", "probed"))["restartCount"] == 0


def test_a_container_that_is_not_alive_is_started_again(kubectl: Kubectl, edge_1: ProcessNode) -> None:
    started = {"httpGet": {"path": "/alive", "port": 9999}, "periodSeconds": 1, "failureThreshold": 30}
    alive = {**started, "failureThreshold": 2}
    container = {"startupProbe": started, "livenessProbe": alive}
    kubectl.apply(pod("sick", edge_1.name, SERVE, container=container))
    file = edge_1.pod_folder(kubectl.namespace, "sick") / "work" / "alive"
    until(file.parent.exists, bool, 20, "the pod's folder")
    assert main_of(kubectl.get("pod", "sick")).get("restartCount", 0) == 0
    file.touch()
    kubectl.wait("pod/sick", "condition=Ready")
    file.unlink()
    seen = kubectl.until("pod", "sick", lambda seen: main_of(seen).get("restartCount") == 1)
    assert main_of(seen)["lastState"]["terminated"]["exitCode"] == 143


def test_an_image_that_nobody_has_is_backed_off_from(kubectl: Kubectl, edge_1: ProcessNode) -> None:
    kubectl.apply(pod("strange", edge_1.name, container={"image": "example.invalid/nothing:1"}))
    seen = kubectl.until(
        "pod", "strange", lambda seen: "ImagePullBackOff" in str(main_of(seen).get("state", {}).get("waiting"))
    )
    assert seen["status"]["phase"] == "Pending"
    kubectl.delete("pod", "strange")
    kubectl.wait("pod/strange", "delete")


def test_a_container_that_fails_is_started_again_and_its_last_words_are_kept(
    kubectl: Kubectl, edge_1: ProcessNode
) -> None:
    container = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    kubectl.apply(pod("broken", edge_1.name, "import sys; print('no paint'); sys.exit(3)", container=container))
    seen = kubectl.until("pod", "broken", lambda seen: main_of(seen).get("restartCount", 0) >= 2)
    terminated = main_of(seen)["lastState"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"], terminated["message"]) == (3, "Error", "no paint\n")
    assert seen["status"]["phase"] == "Running"
    kubectl.until("pod", "broken", lambda seen: "CrashLoopBackOff" in str(main_of(seen)["state"]))


@pytest.mark.parametrize(("script", "phase"), [("pass", "Succeeded"), ("raise SystemExit(2)", "Failed")])
def test_a_pod_that_is_never_restarted_ends_as_its_container_did(
    kubectl: Kubectl, edge_1: ProcessNode, script: str, phase: str
) -> None:
    kubectl.apply(pod("once", edge_1.name, script, restartPolicy="Never"))
    kubectl.wait("pod/once", f"jsonpath={{.status.phase}}={phase}")
    assert condition(kubectl.get("pod", "once"), "Ready") == "False"


def test_deletion_asks_a_process_to_end(kubectl: Kubectl, edge_1: ProcessNode) -> None:
    kubectl.apply(pod("polite", edge_1.name, POLITE))
    until_it_wrote(edge_1, kubectl, "polite", "began")
    kubectl.delete("pod", "polite", "--grace-period=60")
    kubectl.wait("pod/polite", "delete", 20)
    assert edge_1.log(kubectl.namespace, "polite", "main") == "began\nended well\n"


def test_a_process_that_does_not_end_is_killed_after_its_grace_and_not_before(
    kubectl: Kubectl, edge_1: ProcessNode
) -> None:
    kubectl.apply(pod("stubborn", edge_1.name, f"import os; print(os.getpid())\n{STUBBORN}"))
    until_it_wrote(edge_1, kubectl, "stubborn", "began")
    pid = int(edge_1.log(kubectl.namespace, "stubborn", "main").split()[0])
    kubectl.delete("pod", "stubborn", "--grace-period=6")
    until_it_wrote(edge_1, kubectl, "stubborn", "asked to end")
    assert alive(pid) and kubectl.exists("pod", "stubborn")
    kubectl.wait("pod/stubborn", "delete", 20)
    assert not alive(pid)


def test_a_node_that_falls_silent_loses_its_pods_unless_they_tolerate_it(
    kubectl: Kubectl, make_node: NodeFactory
) -> None:
    node = make_node("silent-1")
    patient = [{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}]
    kubectl.apply(pod("leaves", node.name, POLITE), pod("stays", node.name, POLITE, tolerations=patient))
    for name in ("leaves", "stays"):
        kubectl.wait(f"pod/{name}", "condition=Ready")
    node.fail()
    kubectl.wait(f"node/{node.name}", "condition=Ready=Unknown", 40)
    kubectl.wait("pod/stays", "condition=Ready=False")
    kubectl.until("pod", "leaves", lambda seen: "deletionTimestamp" in seen["metadata"])
    node.recover()
    kubectl.wait(f"node/{node.name}", "condition=Ready", 40)
    kubectl.wait("pod/leaves", "delete", 40)
    assert node.log(kubectl.namespace, "leaves", "main").endswith("ended well\n")
    kubectl.wait("pod/stays", "condition=Ready")
    assert main_of(kubectl.get("pod", "stays"))["restartCount"] == 0


def test_a_node_that_dies_takes_its_processes_along_and_starts_its_pods_after_a_reboot(
    kubectl: Kubectl, make_node: NodeFactory
) -> None:
    node = make_node("mortal-1")
    kubectl.apply(pod("rider", node.name, f"import os; print(os.getpid())\n{POLITE}"))
    until_it_wrote(node, kubectl, "rider", "began")
    kubectl.wait("pod/rider", "condition=Ready")
    pid = int(node.log(kubectl.namespace, "rider", "main").split()[0])
    node.kill()
    until(lambda: alive(pid), lambda lives: not lives, 10, "the process of a dead node")
    node.start()
    seen = kubectl.until("pod", "rider", lambda seen: main_of(seen).get("restartCount") == 1)
    assert main_of(seen)["lastState"]["terminated"]["exitCode"] == 137


def test_an_api_server_that_hangs_answers_again_afterwards(control_plane: ControlPlane, kubectl: Kubectl) -> None:
    control_plane.pause_api()
    try:
        with pytest.raises(KubectlFailed, match="no answer within 1 s"):
            kubectl.run("get", "pods", timeout=1)
    finally:
        control_plane.resume_api()
    assert kubectl.list("pods") == []


def test_pods_outlive_an_api_server_that_was_killed(
    control_plane: ControlPlane, kubectl: Kubectl, edge_1: ProcessNode
) -> None:
    kubectl.apply(pod("steady", edge_1.name, POLITE))
    kubectl.wait("pod/steady", "condition=Ready")
    control_plane.kill_api()
    with pytest.raises(KubectlFailed, match="refused"):
        kubectl.run("get", "pods", timeout=10)
    control_plane.start_api()
    assert main_of(kubectl.get("pod", "steady"))["restartCount"] == 0
    kubectl.delete("pod", "steady")
    kubectl.wait("pod/steady", "delete", 30)
    assert edge_1.log(kubectl.namespace, "steady", "main").endswith("ended well\n")


def test_a_user_may_do_what_a_role_lets_him_and_no_more(control_plane: ControlPlane, kubectl: Kubectl) -> None:
    kubectl.run("create", "rolebinding", "jane-views", "--clusterrole=view", "--user=jane")
    jane = Kubectl(control_plane.kubeconfig_for("jane"), kubectl.namespace)
    until(lambda: _may_list(jane), bool, 10, "the role of jane")
    with pytest.raises(KubectlFailed, match="forbidden"):
        jane.run("create", "configmap", "hers")


def test_a_service_account_speaks_with_a_token_of_its_own(control_plane: ControlPlane, kubectl: Kubectl) -> None:
    kubectl.run("create", "serviceaccount", "robot")
    robot = Kubectl(control_plane.kubeconfig_for_service_account(kubectl.namespace, "robot"))
    assert f"system:serviceaccount:{kubectl.namespace}:robot" in robot.run("auth", "whoami")


def _may_list(kubectl: Kubectl) -> bool:
    with contextlib.suppress(KubectlFailed):
        return kubectl.list("configmaps") is not None
    return False
