"""Who may do what: no star, nothing about secrets, and of the rest only what is used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.chart.charts import NAMESPACE, Object, Rendered, render
from tests.chart.conftest import VALUES

READ = {"get", "list", "watch"}


def rules(rendered: Rendered) -> Iterator[tuple[str, Object]]:
    for kind in ("ClusterRole", "Role"):
        for role in rendered.all(kind):
            for rule in role["rules"]:
                yield role["metadata"]["name"], rule


def test_there_is_no_star(rendered: Rendered) -> None:
    for name, rule in rules(rendered):
        assert all("*" not in value for values in rule.values() for value in values), name


def test_nobody_reads_or_writes_a_secret(rendered: Rendered) -> None:
    asked = {resource.split("/")[0] for _, rule in rules(rendered) for resource in rule["resources"]}
    assert asked == {
        *("relayjobs", "stagepools", "modelfamilies"),
        *("pods", "deployments", "events", "leases"),
        *({"configmaps"} if rendered.manifests() else set()),
        *({"tokenreviews"} if rendered.reviewers() else set()),
    }


def test_nobody_raises_rights_or_takes_those_of_others(rendered: Rendered) -> None:
    verbs = {verb for _, rule in rules(rendered) for verb in rule["verbs"]}
    assert verbs <= {*READ, "create", "update", "patch", "delete", "deletecollection"}


def test_only_the_operator_has_a_role_but_for_the_review_of_tokens(rendered: Rendered) -> None:
    bindings = [*rendered.all("RoleBinding"), *rendered.all("ClusterRoleBinding")]
    bindings = [binding for binding in bindings if not binding["metadata"]["name"].endswith("-token-review")]
    operator = {"kind": "ServiceAccount", "name": "rise-operator", "namespace": NAMESPACE}
    assert [binding["subjects"] for binding in bindings] == [[operator]] * len(bindings)


def test_tokens_are_reviewed_where_accounts_are_named_by_whoever_asks_for_them(renderings: dict[str, Rendered]) -> None:
    found = renderings["accounts"]
    assert found.reviewers() == {"rise-operator", "rise-scheduler"}
    role = found.one("ClusterRole", f"{NAMESPACE}-rise-token-review")
    assert role["rules"] == [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
    ]
    for name, values in VALUES.items():
        assert renderings[name].reviewers() == set() or "accounts" in str(values), name


def test_who_serves_http_alone_is_the_only_one_that_reviews(tmp_path: Path) -> None:
    asking: Object = {"scheduler": {"http": {"enabled": True, "accounts": ["studio/asker"]}}}
    assert render(values=asking, folder=tmp_path).reviewers() == {"rise-scheduler"}
    unserved: Object = {"scheduler": {"http": {"enabled": False, "accounts": ["studio/asker"]}}}
    assert render(values=unserved, folder=tmp_path).reviewers() == set()


def test_every_binding_is_to_a_role_of_the_chart(rendered: Rendered) -> None:
    roles = {
        (role["kind"], role["metadata"].get("namespace"), role["metadata"]["name"])
        for kind in ("ClusterRole", "Role")
        for role in rendered.all(kind)
    }
    for binding in (*rendered.all("RoleBinding"), *rendered.all("ClusterRoleBinding")):
        to = binding["roleRef"]
        assert (to["kind"], binding["metadata"].get("namespace"), to["name"]) in roles


def test_rights_end_at_the_namespaces_that_are_watched(renderings: dict[str, Rendered]) -> None:
    found = renderings["some-namespaces"]
    (role,) = [body for body in found.all("ClusterRole") if body["metadata"]["name"] == f"{NAMESPACE}-rise-operator"]
    everywhere = {
        (resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }
    assert everywhere == {
        *(("modelfamilies", verb) for verb in (*READ, "create", "patch")),
        ("modelfamilies/status", "patch"),
        ("leases", "list"),
    }
    watched = [body for body in found.all("Role") if body["metadata"]["name"].endswith("-watch")]
    assert {body["metadata"]["namespace"] for body in watched} == {"team-a", "team-b", NAMESPACE}
    assert all(body["rules"] == watched[0]["rules"] for body in watched)


def test_what_the_installation_brings_is_all_that_the_operator_may_make_of_its_kind(plain: Rendered) -> None:
    changing = [
        (tuple(rule["resources"]), tuple(rule["verbs"]), tuple(rule.get("resourceNames", ())))
        for name, rule in rules(plain)
        if name.endswith("rise-operator")
        and rule["apiGroups"] == ["rise-relay.io"]
        and not any("/" in resource for resource in rule["resources"])
        and not set(rule["verbs"]) <= READ
    ]
    assert sorted(changing) == [
        (("modelfamilies",), ("create",), ()),
        (("modelfamilies",), ("patch",), ("rise-shapes",)),
        (("relayjobs",), ("get", "list", "watch", "delete"), ()),
        (("stagepools",), ("create",), ()),
        (("stagepools",), ("patch",), ("device", "edge")),
    ]


def test_people_get_their_rights_with_those_they_have(plain: Rendered) -> None:
    into = {
        name: {
            label.rpartition("-")[2]
            for label in plain.one("ClusterRole", name)["metadata"]["labels"]
            if "aggregate-to" in label
        }
        for name in ("rise-viewer", "rise-editor")
    }
    assert into == {"rise-viewer": {"view"}, "rise-editor": {"edit", "admin"}}
    for rule in plain.one("ClusterRole", "rise-viewer")["rules"]:
        assert set(rule["verbs"]) <= READ
    for name in into:
        assert plain.one("ClusterRole", name)["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
