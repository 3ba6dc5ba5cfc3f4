"""Every pod of the chart: least rights, a say about its health, an account of its own, what it reads."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from rise_operator import settings as operator_settings
from rise_runtime import token_review
from rise_scheduler import settings as scheduler_settings
from tests.chart.charts import NAMESPACE, RELEASE, Object, Pod, Rendered, environment_of
from tests.chart.conftest import DIGEST

PROCESSES = ("Deployment/rise-operator", "Deployment/rise-scheduler")
JUDGE = "Deployment/rise-judge"
UNMOUNTED = {"RISE_NATS_ACCESS": ""}
"""What is mounted in a pod is not here."""
OLDER = {
    "RISE_METRICS_TOKEN": "secret",
    "RISE_NAMESPACE": NAMESPACE,
    "RISE_POD_NAME": "rise-operator-0",
}
"""What the pod's environment takes from elsewhere."""


def test_the_pods_of_the_chart_are_these(plain: Rendered) -> None:
    assert {pod.name for pod in plain.pods()} == {*PROCESSES, JUDGE, "StatefulSet/rise-nats", "Job/rise-test"}


def test_no_server_comes_along_where_another_is_named(renderings: dict[str, Rendered]) -> None:
    external = renderings["external-nats"]
    assert {pod.name for pod in external.pods()} == {*PROCESSES, JUDGE, "Job/rise-test"}
    assert [body["metadata"]["name"] for body in external.all("Secret")] == ["rise-metrics"]
    for pod in external.pods():
        environment = environment_of(pod.main())
        assert environment["RISE_NATS_URL"] == "tls://bus.example.org:4222"
        (keys,) = [volume["projected"] for volume in pod.spec["volumes"] if volume["name"] == "nats"]
        assert keys["sources"] == [{"secret": {"name": "bus-token"}}]
        (mount,) = [mount for mount in pod.main()["volumeMounts"] if mount["name"] == "nats"]
        assert mount["mountPath"] == environment["RISE_NATS_ACCESS"] and mount["readOnly"]


def test_every_pod_is_restricted(rendered: Rendered) -> None:
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    for pod in rendered.pods():
        context = pod.spec["securityContext"]
        assert context["runAsNonRoot"] is True and context["runAsUser"] > 0, pod.name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, pod.name
        for container in pod.containers():
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, (pod.name, container["name"])


def test_every_container_can_write_to_its_scratch_folder_alone(rendered: Rendered) -> None:
    for pod in rendered.pods():
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        for container in pod.containers():
            (scratch,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == "/tmp"]
            assert "emptyDir" in volumes[scratch["name"]]
            writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
            assert writable <= {"/tmp", "/data"}


def test_every_container_asks_for_what_it_needs(rendered: Rendered) -> None:
    for pod in rendered.pods():
        for container in pod.containers():
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), pod.name
            assert "memory" in container["resources"]["limits"], pod.name


def test_every_server_says_how_it_is(rendered: Rendered) -> None:
    for pod in rendered.pods():
        if pod.owner["kind"] == "Job":
            continue
        ports = {port["name"] for port in pod.main()["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert pod.main()[probe]["httpGet"]["port"] in ports, pod.name


@pytest.mark.parametrize("name", [*PROCESSES, JUDGE])
def test_our_processes_are_asked_where_they_answer(plain: Rendered, name: str) -> None:
    container = plain.pod(name).main()
    assert container["ports"] == [{"name": "health", "containerPort": 8080}]
    assert environment_of(container)["RISE_HEALTH"] == "0.0.0.0:8080"
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}


def test_only_the_operator_and_who_reviews_tokens_get_one_of_the_api(rendered: Rendered) -> None:
    accounts = {body["metadata"]["name"]: body for body in rendered.all("ServiceAccount")}
    assert all(account["automountServiceAccountToken"] is False for account in accounts.values())
    for pod in rendered.pods():
        assert pod.spec["serviceAccountName"] in accounts, pod.name
        reviews = pod.spec["serviceAccountName"] in rendered.reviewers()
        assert pod.spec["automountServiceAccountToken"] is (pod.name == PROCESSES[0] or reviews), pod.name


def test_the_operator_reads_what_the_chart_tells_it(plain: Rendered) -> None:
    pod = plain.pod("Deployment/rise-operator")
    told = operator_settings.read([], {**environment_of(pod.main()), **OLDER, **UNMOUNTED})
    assert told.release == RELEASE and told.watch_namespaces == () and told.lease_s == 10
    assert told.nats_url == f"nats://rise-nats.{NAMESPACE}.svc:4222"
    assert told.stage.image == "rise-stage:0.1.0" and told.stage.pull_policy == "IfNotPresent"
    assert told.stage.nats_url == told.nats_url and told.stage.nats_ca_secret == ""
    assert (told.stage.nats_edge_secret, told.stage.nats_device_secret) == ("rise-nats-edge", "rise-nats-device")
    assert told.stage.service_account in {body["metadata"]["name"] for body in plain.all("ServiceAccount")}
    assert taken_from_elsewhere(pod) == OLDER.keys()


def taken_from_elsewhere(pod: Pod) -> set[str]:
    return {item["name"] for item in pod.main()["env"] if "valueFrom" in item}


def test_the_operator_watches_its_own_namespace_whatever_it_is_told(renderings: dict[str, Rendered]) -> None:
    pod = renderings["some-namespaces"].pod("Deployment/rise-operator")
    told = operator_settings.read([], {**environment_of(pod.main()), **OLDER, **UNMOUNTED})
    assert set(told.watch_namespaces) == {"team-a", "team-b", NAMESPACE}


def test_the_scheduler_reads_what_the_chart_tells_it(renderings: dict[str, Rendered]) -> None:
    container = renderings["everything-on"].pod("Deployment/rise-scheduler").main()
    told = scheduler_settings.read(container["args"], {**environment_of(container), **UNMOUNTED})
    assert told.policy == "linucb" and told.patience == 300 and told.prior_folder == Path("/etc/rise/priors")


def test_http_is_served_where_it_is_wanted_and_opened_by_a_secret(renderings: dict[str, Rendered]) -> None:
    pod = renderings["http"].pod("Deployment/rise-scheduler")
    container = pod.main()
    told = scheduler_settings.read(
        container["args"], {**environment_of(container), **UNMOUNTED, "RISE_HTTP_TOKEN": "s3cret"}
    )
    assert told.http == ("0.0.0.0", 8081)
    assert {"name": "http", "containerPort": 8081} in container["ports"]
    (token,) = [item for item in container["env"] if item["name"] == "RISE_HTTP_TOKEN"]
    assert token["valueFrom"]["secretKeyRef"] == {"name": "asking", "key": "token"}
    plain = renderings["defaults"].pod("Deployment/rise-scheduler").main()
    assert not [item for item in plain["env"] if item["name"].startswith("RISE_HTTP")]


@pytest.mark.parametrize("name", PROCESSES)
def test_metrics_ask_for_a_token_that_the_chart_draws_or_one_that_is_named(
    renderings: dict[str, Rendered], name: str
) -> None:
    for values, secret in (("defaults", "rise-metrics"), ("accounts", "scraping")):
        container = renderings[values].pod(name).main()
        (token,) = [item for item in container["env"] if item["name"] == "RISE_METRICS_TOKEN"]
        assert token["valueFrom"]["secretKeyRef"] == {"name": secret, "key": "token"}
    assert {"rise-metrics"} == {
        body["metadata"]["name"] for body in renderings["defaults"].all("Secret") if "stage-token" in body["data"]
    }
    assert not [body for body in renderings["accounts"].all("Secret") if body["metadata"]["name"] == "scraping"]
    drawn = renderings["defaults"].one("Secret", "rise-metrics")["data"]
    assert len({base64.b64decode(text) for text in drawn.values()}) == 2
    assert all(len(base64.b64decode(text)) == 40 for text in drawn.values())


def test_accounts_reach_the_guards_that_read_them(renderings: dict[str, Rendered]) -> None:
    found = renderings["accounts"]
    told = [environment_of(found.pod(name).main()) for name in PROCESSES]
    for environment in told:
        read = token_review.read_accounts("RISE_METRICS_ACCOUNTS", environment["RISE_METRICS_ACCOUNTS"])
        assert read == {"system:serviceaccount:monitoring:prometheus", "system:serviceaccount:monitoring:agent.a"}
    asking = token_review.read_accounts("RISE_HTTP_ACCOUNTS", told[1]["RISE_HTTP_ACCOUNTS"])
    assert asking == {"system:serviceaccount:studio:asker"}
    assert "RISE_HTTP_ACCOUNTS" not in told[0]


def test_stages_have_a_token_of_their_own(plain: Rendered) -> None:
    told = operator_settings.read(
        [], {**environment_of(plain.pod("Deployment/rise-operator").main()), **OLDER, **UNMOUNTED}
    )
    assert told.stage.metrics_secret == "rise-metrics"


def test_an_upgrade_restarts_only_what_it_changes(plain: Rendered) -> None:
    for pod in plain.pods():
        assert "helm.sh/chart" not in pod.labels and "app.kubernetes.io/version" not in pod.labels, pod.name


def test_a_digest_wins_over_a_tag_and_a_registry_is_before_our_own(renderings: dict[str, Rendered]) -> None:
    images = {pod.name: {container["image"] for container in pod.containers()} for pod in renderings["digests"].pods()}
    ours = "registry.example.org/rise"
    assert images == {
        "Deployment/rise-operator": {f"{ours}/rise-operator@{DIGEST}"},
        "Deployment/rise-scheduler": {f"{ours}/rise-scheduler@{DIGEST}"},
        JUDGE: {f"{ours}/rise-stage@{DIGEST}"},
        "Job/rise-test": {f"{ours}/rise-stage@{DIGEST}"},
        "StatefulSet/rise-nats": {f"docker.io/nats@{DIGEST}", f"docker.io/natsio/nats-server-config-reloader@{DIGEST}"},
    }
    environment = environment_of(renderings["digests"].pod("Deployment/rise-operator").main())
    assert environment["RISE_STAGE_IMAGE"] == f"{ours}/rise-stage@{DIGEST}"
    assert environment["RISE_STAGE_PULL_POLICY"] == "Always"


def test_the_secrets_of_a_registry_reach_every_pod_and_those_of_stages(renderings: dict[str, Rendered]) -> None:
    found = renderings["digests"]
    assert all(pod.spec["imagePullSecrets"] == [{"name": "pull"}] for pod in found.pods())
    assert found.one("ServiceAccount", "rise-stage")["imagePullSecrets"] == [{"name": "pull"}]


def test_pods_go_where_they_are_told(renderings: dict[str, Rendered]) -> None:
    for pod in renderings["everything-on"].pods():
        if pod.owner["kind"] == "Job":
            continue
        spec: Object = pod.spec
        assert spec["nodeSelector"] == {"disk": "ssd"} and spec["priorityClassName"] == "high"
        assert spec["tolerations"] == [{"key": "dedicated", "operator": "Exists"}]
        assert "podAntiAffinity" in spec["affinity"]
        assert pod.labels["team"] == "vision" and pod.labels["cost-centre"] == "7"
