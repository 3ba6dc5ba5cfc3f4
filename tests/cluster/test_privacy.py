"""A prompt is its user's, in a cluster too: no Event, log, metric or other object has a word of it, whatever becomes of
the RelayJob that it stands in."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.rise import Operator, Rise, job_id
from tests.kube.clusters import Cluster
from tests.kube.kubectl import until

CANARY = f"heron{secrets.token_hex(6)}"
FORMS = {
    "drawn": f"Ünïcödé 湖 🦩 {CANARY} «в тумане»",
    "broken": f"break {CANARY}",
    "quoted": f"quoted 'one' \"two\" \\ {CANARY}\n\tand more",
    "refused": f"refuse {CANARY} " + f"{CANARY} " * 45,
}


@pytest.fixture
def rise(cluster: Cluster, tmp_path: Path, namespace: str) -> Iterator[Rise]:
    rise = Rise(cluster, tmp_path / "rise", namespace)
    try:
        yield rise.start()
    finally:
        rise.kubectl.run("delete", "relayjobs", "--all", "--wait=false")
        rise.close()


def everything_said(rise: Rise, operator: Operator) -> dict[str, str]:
    """What others than the reader of the RelayJob may read."""
    said = {path.name: path.read_text(errors="replace") for path in rise.folder.glob("*.log")}
    said["metrics"] = operator.asks("/metrics")[1]
    kinds = "events,pods,configmaps,leases,stagepools,modelfamilies"
    said["objects"] = rise.kubectl.run("get", kinds, "--all-namespaces", "-o", "json")
    return said


def test_no_event_log_or_metric_has_a_word_of_a_prompt(rise: Rise) -> None:
    operator = rise.operator()
    for name in ("edge-1", "device-1"):
        rise.worker(name)
    for name, prompt in FORMS.items():
        rise.submit(name, prompt, negativePrompt=f"no {CANARY}", backoffLimit=0)
    seen: dict[str, dict[str, Any]] = {}
    for name in FORMS:
        seen[name] = rise.until(name, "Complete" if name == "drawn" else "Failed")
        assert CANARY in json.dumps(seen[name]["spec"], ensure_ascii=False), "what is looked for is there"
        assert CANARY not in json.dumps(seen[name]["status"]) and CANARY not in job_id(seen[name])
    message = next(each["message"] for each in seen["quoted"]["status"]["conditions"] if each["type"] == "Failed")
    assert "a library that quotes its input" in message, "the rest of it helps"

    rise.kubectl.run("delete", "relayjobs", "--all", "--wait=true")
    until(rise.records, lambda records: not records, 60, "the jobs off the bus")
    told = everything_said(rise, operator)
    assert {"operator-a.log", "scheduler.log", "edge-1.log", "device-1.log"} <= told.keys()
    assert "rise_jobs_total" in told["metrics"] and "StageFailed" in told["objects"]
    assert [where for where, text in told.items() if CANARY in text] == []
