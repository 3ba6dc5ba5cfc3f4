"""The scorer of the chart: it is there where it is wanted, with a judge's rights, and begins as it is started."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rise_contracts import subjects
from rise_contracts.rights import Principal
from rise_contracts.scorers import SCORERS, Scale
from rise_runtime import layout, streams
from rise_runtime.bus import Bus
from rise_runtime.streams import JetStreamError
from rise_stage.scoring import app
from tests.chart import values_table
from tests.chart.beside import judging
from tests.chart.charts import Rendered, environment_of, render, selects
from tests.chart.conftest import SCORER
from tests.chart.nats_pod import NatsPod, entered
from tests.chart.test_nats import secrets_of
from tests.chart.test_render import peers
from tests.model.tiny_clip import tiny_clip

POD = "Deployment/rise-scorer"
WANTED = ("scorer-of-the-hub", "everything-on")


def test_it_is_there_where_it_is_wanted_and_nothing_of_it_elsewhere(renderings: dict[str, Rendered]) -> None:
    for name, found in renderings.items():
        names = {body["metadata"]["name"] for body in found.objects}
        assert ("rise-scorer" in names) == (name in WANTED), name


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


async def test_started_as_the_chart_says_it_waits_for_the_platform_and_takes_work(
    nats_pod: NatsPod, renderings: dict[str, Rendered], tmp_path: Path
) -> None:
    rendered = renderings["everything-on"]
    url = nats_pod.start(rendered)
    weights = tiny_clip(tmp_path / "models" / "pickscore")
    arguments = [each.replace("/models/pickscore", str(weights)) for each in rendered.pod(POD).main()["args"]]
    here = {"RISE_MODELS": str(tmp_path / "models"), "HOME": str(tmp_path)}
    with judging(rendered, POD, url, tmp_path, arguments, here) as scorer:
        async with entered(rendered, tmp_path, url, Principal("operator")) as bus:
            await layout.ensure(bus)
            async with asyncio.timeout(60):
                while not await follows(bus):
                    assert scorer.child.running, scorer.child.tail()
                    await asyncio.sleep(0.05)
        assert scorer.ready()
