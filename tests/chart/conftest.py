"""Renderings that many tests look at: each is made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chart import charts
from tests.chart.charts import Object, Rendered

DIGEST = f"sha256:{'ab' * 32}"

PLACED: Object = {
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "priorityClassName": "high",
    "podLabels": {"team": "vision"},
    "podAnnotations": {"note": "yes"},
}

VALUES: dict[str, Object] = {
    "defaults": {},
    "external-nats": {
        "nats": {"enabled": False, "url": "tls://bus.example.org:4222", "existingSecret": "bus-token"},
    },
    "own-secret": {"nats": {"existingSecret": "my-token"}},
    "some-namespaces": {"operator": {"watchNamespaces": ["team-a", "team-b"]}},
    "digests": {
        "image": {"registry": "registry.example.org/rise", "pullSecrets": [{"name": "pull"}], "pullPolicy": "Always"},
        "operator": {"image": {"digest": DIGEST}},
        "scheduler": {"image": {"digest": DIGEST, "tag": "ignored"}},
        "stage": {"image": {"digest": DIGEST}},
        "nats": {"image": {"digest": DIGEST}},
    },
    "http": {
        "scheduler": {
            "http": {
                "enabled": True,
                "existingSecret": "asking",
                "from": [{"podSelector": {"matchLabels": {"app": "studio"}}}],
            }
        }
    },
    "accounts": {
        "scheduler": {"http": {"enabled": True, "accounts": ["studio/asker"]}},
        "metrics": {"existingSecret": "scraping", "accounts": ["monitoring/prometheus", "monitoring/agent.a"]},
    },
    "everything-off": {
        "crds": {"install": False},
        "nats": {"persistence": {"enabled": False}},
        "family": {"install": False},
        "pools": {"edge": None, "device": None},
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
    },
    "everything-on": {
        "commonLabels": {"cost-centre": "7"},
        "commonAnnotations": {"contact": "rise@example.org"},
        "operator": {**PLACED, "replicas": 3, "watchNamespaces": ["team-a"]},
        "scheduler": {**PLACED, "replicas": 2, "policy": "linucb"},
        "nats": {**PLACED, "persistence": {"storageClassName": "fast", "retain": False}},
        "pools": {"edge": {"tier": "edge", "replicas": 2, "resources": {"limits": {"nvidia.com/gpu": "1"}}}},
        "networkPolicy": {"metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    },
}
"""What the chart is rendered with, by what is special about it."""


@pytest.fixture(scope="session")
def renderings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rendered]:
    folder: Path = tmp_path_factory.mktemp("values")
    return {name: charts.render(values=values, folder=folder) for name, values in VALUES.items()}


@pytest.fixture(params=sorted(VALUES))
def rendered(request: pytest.FixtureRequest, renderings: dict[str, Rendered]) -> Rendered:
    """Each of `VALUES`."""
    return renderings[request.param]


@pytest.fixture(scope="session")
def plain(renderings: dict[str, Rendered]) -> Rendered:
    """The chart as it comes."""
    return renderings["defaults"]
