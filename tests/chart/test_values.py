"""What the values may be: the schema refuses the rest, with a word that helps, and the README tells the same."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart import values_table
from tests.chart.charts import HelmFailed, Object, render

WRONG = {
    "oprator.replicas=1": "additional properties 'oprator' not allowed",
    "operator.replica=1": "additional properties 'replica' not allowed",
    "operator.replicas=two": "'/operator/replicas': got string, want integer",
    "operator.replicas=-1": "'/operator/replicas': minimum: got -1, want 0",
    "operator.watchNamespaces={A_b}": "'/operator/watchNamespaces/0': 'A_b' does not match",
    "operator.image.digest=sha256:12": "'/operator/image/digest': 'sha256:12' does not match",
    "operator.image.tag=a b": "'/operator/image/tag': 'a b' does not match",
    "operator.leaseSeconds=1": "'/operator/leaseSeconds': minimum: got 1, want 3",
    "operator.resources.limits.memory=much": "'/operator/resources/limits/memory': 'much' does not match",
    "scheduler.policy=best": "'/scheduler/policy': value must be one of 'composed', 'fixed', 'linucb'",
    "image.pullPolicy=Sometimes": "'/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'",
    "image.pullSecrets={pull}": "'/image/pullSecrets/0': got string, want object",
    "log.level=info": "'/log/level': value must be one of 'DEBUG', 'INFO', 'WARNING', 'ERROR'",
    "pools.edge.tier=cloud": "'/pools/edge/tier': value must be one of 'edge', 'device'",
    "pools.third.replicas=1": "'/pools/third': missing property 'tier'",
    "pools.My_pool.tier=edge": "invalid propertyName 'My_pool'",
    "nats.persistence.size=big": "'/nats/persistence/size': 'big' does not match",
    "nats.url=http://bus": "'/nats/url': 'http://bus' does not match",
    "nats.users[0].role=admin": "'/nats/users/0/role': value must be one of",
    "nats.users[0].role=device": "'/nats/users/0': missing properties 'pool', 'name'",
    "nats.secrets.admin=x": "additional properties 'admin' not allowed",
    "test.seed=-1": "'/test/seed': minimum: got -1, want 0",
    "crds.install=maybe": "'/crds/install': got string, want boolean",
    "scheduler.http.port=1": "additional properties 'port' not allowed",
    "scheduler.http.enabled=true": "scheduler.http.existingSecret: wanted the name of a Secret",
    "scheduler.http.accounts={asker}": "'/scheduler/http/accounts/0': 'asker' does not match",
    "metrics.accounts={a/b/c}": "'/metrics/accounts/0': 'a/b/c' does not match",
    "scorer.name=best": "'/scorer/name': value must be one of '', 'clipscore', 'hpsv2', 'pickscore'",
    "scorer.weights=../weights": "'/scorer/weights': '../weights' does not match",
    "scorer.share=2": "'/scorer/share': maximum: got 2, want 1",
    "scorer.range={15}": "'/scorer/range': minItems: got 1, want 2",
    "scorer.enabled=true": "scorer: wanted the name of a scorer and its weights",
    "scorer.enabled=true,scorer.name=hpsv2,scorer.weights=/models/a": "scorer.existingClaim: wanted a claim",
    "scorer.enabled=true,scorer.name=hpsv2,scorer.weights=a/b,scorer.existingClaim=c": 'got "c" for "a/b"',
    "nats.enabled=false": "nats.url: wanted the URL of a NATS server",
    "nats.enabled=false,nats.url=nats://bus:4222": "nats.existingSecret: wanted the name of a Secret",
}


@pytest.mark.parametrize(("setting", "told"), WRONG.items(), ids=WRONG)
def test_a_value_that_cannot_be_is_refused_with_its_name(setting: str, told: str) -> None:
    with pytest.raises(HelmFailed) as refused:
        render("--set", setting)
    assert told in refused.value.told


def test_every_default_has_its_place_in_the_schema_and_every_place_its_default() -> None:
    def places(part: Object, values: Any, path: str = "") -> set[str]:
        found = {name: values.get(name, ...) for name in part["properties"] if name != "global"}
        assert set(values) <= set(found), f"{path}: not in the schema"
        missing = {f"{path}.{name}" for name, value in found.items() if value is ...}
        for name, value in found.items():
            inner = part["properties"][name]
            if "properties" in inner and inner.get("additionalProperties") is False and value is not ...:
                missing |= places(inner, value, f"{path}.{name}")
        return missing

    assert places(values_table.schema(), values_table.defaults()) == set()


def test_every_value_says_what_it_is() -> None:
    rows = list(values_table.leaves(values_table.schema(), values_table.defaults()))
    assert len(rows) > 40
    assert [name for name, part, _ in rows if not part.get("description")] == []


def test_the_readme_tells_what_the_schema_says() -> None:
    text = values_table.README.read_text()
    assert text == values_table.with_table(text), "make chart-values"
