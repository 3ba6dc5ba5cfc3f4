"""Models and API server judge alike: whatever spec is made up, both take it or both refuse it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from rise_contracts.pools import StagePool
from rise_contracts.resources import ModelFamily, RelayJob
from tests.kube.clusters import Cluster
from tests.kube.kubectl import Kubectl, KubectlFailed
from tests.unit.contracts import refusals

pytestmark = pytest.mark.usefixtures("definitions")


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


SIGMAS = one_of(None, 0.5, 1.0, 2, 2.0, 3.5, 0.0)
WELL_CUT = one_of([], [refusals.stage()], [refusals.stage(until=2.0), refusals.stage("small")])
STAGES = WELL_CUT | st.lists(
    st.builds(
        lambda member, until, steps: {**refusals.stage(member, until), "steps": steps},
        one_of("large", "small", "x"),
        SIGMAS,
        one_of(4, 8),
    ),
    max_size=4,
)
LABELS = st.dictionaries(
    one_of("a", "rise-relay.io/tier", "A_b", "-a", "a/b/c", "x" * 64), one_of("", "edge", "b c"), max_size=2
)
AMOUNTS = st.dictionaries(
    one_of("cpu", "memory", "nvidia.com/gpu", "a b"), one_of(1, "1", "24Gi", "0.5", "1 G", -1), max_size=2
)
SOURCES = st.fixed_dictionaries(
    {},
    optional={
        "builtin": st.just("rise-shapes"),
        "path": one_of("a", "/a/b"),
        "hub": one_of("a/b", "a b"),
        "revision": st.just("v1"),
    },
)
JOBS = st.fixed_dictionaries(
    {},
    optional={
        "relay": st.fixed_dictionaries({}, optional={"mode": one_of("Auto", "Fixed"), "stages": STAGES}),
        "steps": one_of(4, 8, 12),
        "images": one_of(1, 16, 17),
        "frames": one_of(1, 64, 65, 257),
        "width": one_of(8, 12, 4096, 4104),
        "seed": one_of(0, -1, 2**63 - 1, 2**63),
        "deviceSelector": LABELS,
        "ttlSecondsAfterFinished": one_of(0, 0.5, 30 * 86400, 30 * 86400 + 1),
    },
)
LARGE, SMALL = {"name": "large"}, {"name": "small", "tier": "device"}
FAMILIES = st.fixed_dictionaries(
    {"base": st.just({"builtin": "rise-shapes"}) | SOURCES},
    optional={
        "members": one_of([LARGE, SMALL], [SMALL, LARGE], [LARGE], [LARGE, LARGE], []),
        "tinyVae": st.just({"path": "taesd"}) | SOURCES,
        "relays": st.lists(st.fixed_dictionaries({"name": one_of("a", "b"), "stages": STAGES}), max_size=2),
        "architecture": one_of("sd", "wan"),
        "defaultFrames": one_of(1, 81),
        "handoffs": st.lists(one_of(0.5, 2, 4, 0), max_size=2),
    },
)
POOLS = st.fixed_dictionaries(
    {},
    optional={
        "nodeSelector": LABELS,
        "labels": LABELS,
        "members": st.lists(one_of("large", "small"), max_size=2),
        "resources": st.fixed_dictionaries({}, optional={"requests": AMOUNTS, "limits": AMOUNTS}),
        "tolerations": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "key": st.just("a"),
                    "operator": one_of("Exists", "Equal"),
                    "value": one_of("", "b"),
                    "effect": one_of("NoSchedule", "NoExecute"),
                    "tolerationSeconds": one_of(0, 9),
                },
            ),
            max_size=2,
        ),
    },
)


SPECS: dict[type[BaseModel], st.SearchStrategy[dict[str, Any]]] = {
    RelayJob: JOBS,
    ModelFamily: FAMILIES,
    StagePool: POOLS,
}


def model_takes(model: type[BaseModel], wanted: dict[str, Any]) -> bool:
    try:
        model.model_validate(wanted)
    except ValidationError:
        return False
    return True


def server_says(kubectl: Kubectl, wanted: dict[str, Any]) -> str:
    """Why it refuses; empty where it takes it."""
    try:
        kubectl.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(wanted))
    except KubectlFailed as error:
        if "is invalid" not in error.stderr:
            raise  # not for what the manifest says
        return error.stderr
    return ""


@pytest.mark.parametrize("model", SPECS, ids=lambda model: model.__name__)
def test_models_and_server_are_of_one_mind(cluster: Cluster, model: type[BaseModel]) -> None:
    kubectl = cluster.kubectl("default")
    verdicts: Counter[bool] = Counter()

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(SPECS[model])
    def agree(spec: dict[str, Any]) -> None:
        wanted = refusals.written(model.__name__, **spec)
        taken, told = model_takes(model, wanted), server_says(kubectl, wanted)
        assert taken == (not told), told or "the server takes what the model refuses"
        verdicts[taken] += 1

    agree()
    assert min(verdicts[True], verdicts[False]) >= 10, f"what is made up has to be of both kinds: {verdicts}"
