"""The chart on a real API server: it takes every manifest, and what is upgraded or taken away leaves the jobs alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chart import charts
from tests.chart.charts import HelmFailed, Pod
from tests.chart.conftest import VALUES
from tests.cluster.conftest import plane_of_its_own
from tests.cluster.installed import Release, Rights, granted, rules_of
from tests.kube.controlplane import ControlPlane
from tests.kube.kubectl import Kubectl, KubectlFailed, until

JOB = """\
apiVersion: rise-relay.io/v1alpha1
kind: RelayJob
metadata: {name: keeps}
spec: {prompt: a large red circle}
"""
READ = {"get", "list", "watch"}
CHANGE = {"create", "update", "patch", "delete", "deletecollection"}
JOBS = ("relayjobs.rise-relay.io", "")
EVERYWHERE: Rights = {
    ("modelfamilies.rise-relay.io", ""): {*READ, "create"},
    ("modelfamilies.rise-relay.io", "rise-shapes"): {"patch"},
    ("modelfamilies/status.rise-relay.io", ""): {"patch"},
    ("leases.coordination.k8s.io", ""): {"list"},
}
WATCHED: Rights = {
    ("relayjobs.rise-relay.io", ""): {*READ, "delete"},
    ("relayjobs/status.rise-relay.io", ""): {"patch"},
    ("stagepools.rise-relay.io", ""): READ,
    ("stagepools/status.rise-relay.io", ""): {"patch"},
    ("pods", ""): {*READ, "create", "patch", "delete"},
    ("deployments.apps", ""): {*READ, "create", "patch"},
    ("events", ""): {"create", "patch"},
    ("leases.coordination.k8s.io", ""): {"list", "watch"},
}
AT_HOME: Rights = {
    ("leases.coordination.k8s.io", ""): {"create"},
    ("leases.coordination.k8s.io", "rise-operator"): {"get", "update"},
    ("configmaps", "rise-default-family"): {"get"},
    ("configmaps", "rise-default-pool-device"): {"get"},
    ("configmaps", "rise-default-pool-edge"): {"get"},
    ("stagepools.rise-relay.io", ""): {"create"},
    ("stagepools.rise-relay.io", "device"): {"patch"},
    ("stagepools.rise-relay.io", "edge"): {"patch"},
}


def joined(*parts: Rights) -> Rights:
    found: Rights = {}
    for part in parts:
        for key, verbs in part.items():
            found[key] = found.get(key, set()) | verbs
    return found


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One on which no other test has defined the kinds: whose they are is what is looked at here."""
    with plane_of_its_own(tmp_path_factory.mktemp("plane")) as started:
        yield started


@pytest.fixture(scope="module")
def release(plane: ControlPlane) -> Release:
    """The chart as it comes, for tests that look at it and do not change it."""
    made = Release(plane, "rise-system")
    made.install()
    return made


@pytest.fixture
def strict(release: Release) -> Kubectl:
    """A namespace that takes restricted pods only, and the namespaces that `VALUES` name."""
    kubectl = release.plane.kubectl()
    for name in (charts.NAMESPACE, "team-a", "team-b"):
        kubectl.run("create", "namespace", name) if not kubectl.exists("namespace", name) else None
    kubectl.run("label", "namespace", charts.NAMESPACE, "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
    return kubectl.within(charts.NAMESPACE)


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_the_server_takes_every_manifest(strict: Kubectl, tmp_path: Path, values: charts.Object) -> None:
    rendered = charts.render(values=values, folder=tmp_path)
    # The kind ServiceMonitor is somebody else's.
    bodies = [body for body in rendered.objects if body["kind"] != "ServiceMonitor"]
    how = ["--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"]
    text = charts.as_text(*map(named, (*bodies, *rendered.manifests())))
    told = strict.within("").run("apply", *how, "-f", "-", stdin=text)
    assert told.count("(server dry run)") == len(bodies) + len(rendered.manifests())


def named(body: charts.Object) -> charts.Object:
    """The same under a name that nothing else has, where it is not its name that is looked at."""
    if body["kind"] in ("CustomResourceDefinition", "ModelFamily", "ClusterRole", "ClusterRoleBinding"):
        return body
    return {**body, "metadata": {**body["metadata"], "name": f"{body['metadata']['name']}-again"}}


@pytest.mark.parametrize("name", sorted(VALUES))
def test_every_pod_is_let_in_where_only_restricted_ones_are(strict: Kubectl, tmp_path: Path, name: str) -> None:
    rendered = charts.render(values=VALUES[name], folder=tmp_path)
    for account in rendered.all("ServiceAccount"):
        if not strict.exists("serviceaccount", account["metadata"]["name"]):  # the release has no scorer
            strict.apply(account)
    pods = [alone(pod) for pod in rendered.pods()]
    told = strict.run("create", "--dry-run=server", "-f", "-", stdin=charts.as_text(*pods))
    assert told.count("created (server dry run)") == len(pods) >= 3


def alone(pod: Pod) -> charts.Object:
    """The pod without its controller. What else it would take is the cluster's: priority classes, volumes."""
    spec = {key: value for key, value in pod.spec.items() if key != "priorityClassName"}
    claims = pod.owner["spec"].get("volumeClaimTemplates", [])
    held = [{"name": each["metadata"]["name"], "emptyDir": {}} for each in claims]
    spec["volumes"] = [*spec["volumes"], *held]
    name = pod.name.lower().replace("/", "-")
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": dict(pod.labels)}, "spec": spec}


def test_a_pod_that_may_do_more_is_refused_there(strict: Kubectl, tmp_path: Path) -> None:
    pod = alone(charts.render().pod("Deployment/rise-scheduler"))
    pod["spec"]["securityContext"] = {}
    with pytest.raises(KubectlFailed, match="violates PodSecurity"):
        strict.run("create", "--dry-run=server", "-f", "-", stdin=charts.as_text(pod))


def test_the_operator_may_do_this_and_nothing_else(release: Release) -> None:
    everywhere = joined(EVERYWHERE, WATCHED)
    assert release.rights("rise-operator", release.namespace) == joined(everywhere, AT_HOME)
    assert release.rights("rise-operator", "default") == everywhere


@pytest.mark.parametrize("account", ["rise-scheduler", "rise-judge", "rise-stage", "rise-nats"])
def test_the_other_processes_may_do_nothing(release: Release, account: str) -> None:
    assert release.rights(account, release.namespace) == {}


@pytest.mark.parametrize("name", ["defaults", "some-namespaces", "everything-off", "accounts"])
def test_every_account_may_do_what_the_chart_says_and_nothing_else(
    strict: Kubectl, release: Release, tmp_path: Path, name: str
) -> None:
    """In the API server's words, for each account, in each namespace that it has to do with and in one more."""
    home = f"rights-{name}"
    rendered = charts.render("--namespace", home, values=VALUES[name], folder=tmp_path)
    bindings = [*rendered.all("ClusterRoleBinding"), *rendered.all("RoleBinding")]
    bound = {(binding["roleRef"]["kind"], binding["roleRef"]["name"]) for binding in bindings}
    roles = [body for body in rendered.objects if (body["kind"], body["metadata"]["name"]) in bound]
    accounts = rendered.all("ServiceAccount")
    kubectl = strict.within("")
    kubectl.run("create", "namespace", home)
    made = [placed(body, home) for body in (*accounts, *roles, *bindings)]
    kubectl.apply(*made)

    installed = replace(release, namespace=home)
    names = [body["metadata"]["name"] for body in accounts]
    assert {"rise-operator", "rise-scheduler", "rise-stage"} <= set(names)
    for account in names:
        for namespace in (home, "team-a", "team-b", "default"):
            wanted = granted(rendered, account, home, namespace)
            assert installed.rights(account, namespace) == wanted, (account, namespace)
            assert bool(wanted) == (account == "rise-operator" or account in rendered.reviewers())
    kubectl.run("delete", "-f", "-", stdin=charts.as_text(*made))


def placed(body: charts.Object, home: str) -> charts.Object:
    """With the namespace that Helm would make it in, spelt out."""
    if body["kind"].startswith("Cluster"):
        return body
    return {**body, "metadata": {"namespace": home, **body["metadata"]}}


def test_people_may_do_with_jobs_what_they_may_do_in_a_namespace(release: Release) -> None:
    kubectl = release.kubectl
    for role in ("view", "edit", "admin"):
        kubectl.run("create", "rolebinding", f"person-{role}", f"--clusterrole={role}", f"--user={role}")
        person = Kubectl(release.plane.kubeconfig_for(role))
        # The controller that joins the roles needs a moment.
        may = until(lambda: rules_of(person, release.namespace), lambda rules: JOBS in rules, 20, role)  # noqa: B023
        assert may[JOBS] == (READ if role == "view" else {*READ, *CHANGE})
        assert may["modelfamilies.rise-relay.io", ""] == READ
        assert not any(resource.endswith(".rise-relay.io") and name for resource, name in may)


def test_an_upgrade_keeps_the_keys_and_the_jobs(plane: ControlPlane, release: Release) -> None:
    release.kubectl.apply(JOB)
    before = release.key(), release.key_of_the_store()
    release.upgrade("--set", "scheduler.replicas=2")
    assert (release.key(), release.key_of_the_store()) == before
    assert release.kubectl.get("deployment", "rise-scheduler")["spec"]["replicas"] == 2
    assert release.kubectl.exists("relayjob", "keeps")


def test_who_applies_what_helm_wrote_puts_no_other_key_in_the_place_of_the_stores(release: Release) -> None:
    before = release.key_of_the_store()
    drawn_anew = charts.render().one("Secret", "rise-nats-encryption")
    with pytest.raises(KubectlFailed, match="field is immutable when `immutable` is set"):
        release.kubectl.apply(drawn_anew)
    assert release.key_of_the_store() == before


def test_a_second_release_is_told_that_the_kinds_are_another_s(plane: ControlPlane, release: Release) -> None:
    second = Release(plane, "second")
    with pytest.raises(HelmFailed) as refused:
        second.install()
    assert "exists and cannot be imported into the current release" in refused.value.told
    assert 'must equal "second"' in refused.value.told and 'current value is "rise-system"' in refused.value.told
    second.install("--set", "crds.install=false")
    second.uninstall()
    assert release.kubectl.exists("crd", "relayjobs.rise-relay.io")
    assert release.kubectl.exists("clusterrole", "rise-system-rise-operator")


def test_an_uninstallation_leaves_kinds_and_jobs_and_the_next_one_takes_them_up(plane: ControlPlane) -> None:
    # Of the same name as the one that made the kinds: to any other Helm says whose they are.
    release = Release(plane, "rise-system")
    kubectl = release.kubectl
    kubectl.apply(JOB)
    uid = kubectl.get("relayjob", "keeps")["metadata"]["uid"]
    kubectl.until("pvc", "data-rise-nats-0", lambda claim: claim)
    key = release.key_of_the_store()
    release.uninstall()
    until(lambda: kubectl.list("pods"), lambda pods: pods == [], 60, "pods")
    assert kubectl.get("relayjob", "keeps")["metadata"]["uid"] == uid
    assert kubectl.exists("clusterrole", "rise-editor") and kubectl.exists("pvc", "data-rise-nats-0")
    assert not kubectl.exists("clusterrole", "rise-system-rise-operator")
    release.install("--set", "nats.persistence.retain=false")
    assert release.key_of_the_store() == key, "the volume was kept, and so it can be read"
    assert kubectl.get("relayjob", "keeps")["metadata"]["uid"] == uid
    kubectl.until("pvc", "data-rise-nats-0", lambda claim: claim["metadata"].get("ownerReferences"))
    release.uninstall()
    kubectl.until("pvc", "data-rise-nats-0", lambda claim: claim == {}, 60)
