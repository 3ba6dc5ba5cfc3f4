"""The scorer of the chart: it is there where it is wanted, with a judge's rights, and begins as it is started."""

from __future__ import annotations

import asyncio
import os
import sys
import urllib.request
from pathlib import Path

import pytest

from rise_contracts import subjects
from rise_contracts.rights import Principal
from rise_contracts.scorers import SCORERS, Scale
from rise_runtime import layout, streams
from rise_runtime.bus import Bus
from rise_runtime.streams import JetStreamError
from rise_stage.scoring import app
from tests.bus.security import matrix
from tests.chart import values_table
from tests.chart.charts import Rendered, environment_of, render, selects
from tests.chart.conftest import SCORER
from tests.chart.nats_pod import NatsPod, entered, held, written
from tests.chart.test_nats import forbidden, secrets_of
from tests.chart.test_render import peers
from tests.kube.children import Child, free_ports
from tests.model.tiny_clip import tiny_clip

POD = "Deployment/rise-scorer"
WANTED = ("scorer-of-the-hub", "everything-on")


OWN = {"rise-scorer", "rise-nats-judge"}


def test_it_is_there_where_it_is_wanted_and_nothing_of_it_elsewhere(renderings: dict[str, Rendered]) -> None:
    for name, found in renderings.items():
        names = {body["metadata"]["name"] for body in found.objects}
        assert names & OWN == (OWN if name in WANTED else set()), name


def test_the_scorers_are_those_that_there_are() -> None:
    assert values_table.schema()["properties"]["scorer"]["properties"]["name"]["enum"] == ["", *SCORERS]


def test_it_reads_what_the_chart_tells_it(renderings: dict[str, Rendered]) -> None:
    container = renderings["everything-on"].pod(POD).main()
    assert container["command"] == ["python", "-m", "rise_stage.scoring"]
    given = app.read(container["args"])
    assert str(given.chosen) == "pickscore:/models/pickscore"
    assert (given.settings.share, given.scale) == (1.0, Scale(16, 25.5))
    hub = app.read(renderings["scorer-of-the-hub"].pod(POD).main()["args"])
    assert str(hub.chosen) == "clipscore:openai/clip-vit-large-patch14" and hub.settings.share == 0.2


def test_its_weights_are_a_claims_and_it_may_not_change_them(renderings: dict[str, Rendered]) -> None:
    pod = renderings["everything-on"].pod(POD)
    (models,) = [volume for volume in pod.spec["volumes"] if volume["name"] == "models"]
    assert models["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}
    (mount,) = [mount for mount in pod.main()["volumeMounts"] if mount["name"] == "models"]
    assert mount["readOnly"] and environment_of(pod.main())["RISE_MODELS"] == mount["mountPath"]
    hub = renderings["scorer-of-the-hub"].pod(POD)
    assert "models" not in {volume["name"] for volume in hub.spec["volumes"]}
    assert environment_of(hub.main())["HF_HOME"].startswith("/tmp/")


def test_nats_takes_it_and_its_key_is_the_judges(renderings: dict[str, Rendered]) -> None:
    for name in WANTED:
        pod = renderings[name].pod(POD)
        policy = renderings[name].one("NetworkPolicy", "rise-nats")
        assert any(selects(peer["podSelector"], pod.labels) for peer in peers(policy))
        assert secrets_of(pod.spec) == ["rise-nats-judge"]
    brought = render(
        *("--set", "nats.enabled=false,nats.url=nats://bus:4222,nats.existingSecret=bus,nats.secrets.judge=mine"),
        *("--set", ",".join(f"scorer.{key}={value}" for key, value in SCORER.items()).replace("True", "true")),
    )
    assert secrets_of(brought.pod(POD).spec) == ["mine"]


async def follows(bus: Bus) -> bool:
    """Whether the weights were read, and there is somebody who looks at what ends."""
    try:
        await streams.api(bus, f"CONSUMER.INFO.{subjects.STREAM_EVENTS}.{subjects.DURABLE_SCORER}")
    except JetStreamError:
        return False
    return True


def ready(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
        return int(answer.status)


async def test_started_as_the_chart_says_it_waits_for_the_platform_and_takes_work(
    nats_pod: NatsPod, renderings: dict[str, Rendered], tmp_path: Path
) -> None:
    rendered = renderings["everything-on"]
    url, container = nats_pod.start(rendered), rendered.pod(POD).main()
    weights = tiny_clip(tmp_path / "models" / "pickscore")
    login = written(tmp_path / "judge" / "login", held(rendered, "rise-nats-judge")["login"])
    told = {**environment_of(container), "RISE_NATS_URL": url, "RISE_NATS_ACCESS": str(login.parent)}
    (port,) = free_ports(1)
    told |= {"RISE_HEALTH": f"127.0.0.1:{port}", "RISE_MODELS": str(tmp_path / "models"), "HOME": str(tmp_path)}
    arguments = [each.replace("/models/pickscore", str(weights)) for each in container["args"]]
    command = [sys.executable, *container["command"][1:], *arguments]
    scorer = Child("scorer", command, tmp_path / "scorer.log", {**os.environ, **told})
    scorer.start()
    try:
        scorer.wait_until(lambda: "waiting for the platform" in scorer.tail(), 60, "connect")
        async with entered(rendered, tmp_path, url, Principal("operator")) as bus:
            await layout.ensure(bus)
            async with asyncio.timeout(60):
                while not await follows(bus):
                    assert scorer.running, scorer.tail()
                    await asyncio.sleep(0.05)
        assert ready(port) == 200
    finally:
        scorer.kill()


async def test_it_may_do_nothing_but_judge(
    nats_pod: NatsPod, renderings: dict[str, Rendered], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rendered = renderings["scorer-of-the-hub"]
    url = nats_pod.start(rendered)
    async with (
        entered(rendered, tmp_path, url, matrix.OPERATOR) as operator,
        entered(rendered, tmp_path, url, matrix.JUDGE) as bus,
    ):
        await layout.ensure(operator)
        others = forbidden(matrix.JUDGE)
        assert len(others) > 20
        for subject in others:
            await bus.publish(subject, b"{}")
        await bus.barrier()
        refused = {text.split('publish to "')[1].rstrip('"') for text in caplog.messages if 'publish to "' in text}
        assert [subject for subject in others if subject.lower() not in refused] == []
