"""The scheduler's priors: that of the embedded family comes with the chart, others in a ConfigMap; both are read."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Mapping
from pathlib import Path

import rise_shapes
from rise_contracts import codec, subjects
from rise_contracts.decisions import DecisionRecord
from rise_contracts.resources import ModelFamily
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_scheduler.app import read_prior
from rise_scheduler.composed.knowledge import Learning
from rise_scheduler.composed.policy import ComposedPolicy
from tests.bus.scheduler_world import ask, prepare, process
from tests.chart.charts import CHART, NAMESPACE, RELEASE, Rendered, environment_of, helm, render
from tests.servers import Server
from tests.unit.scheduler.builders import decided, question

SCHEDULER = "Deployment/rise-scheduler"
EMBEDDED = rise_shapes.family().metadata.name
BROUGHT = {"my-priors": {"mine.npz": rise_shapes.prior_file().read_bytes()}}
"""ConfigMaps that the values name."""


def mounted(rendered: Rendered, folder: Path, brought: Mapping[str, Mapping[str, bytes]]) -> dict[str, str]:
    """The volume of the priors as a kubelet lays it out below `folder`: by links, so that all of it changes at once.
    The variable that says where it is."""
    pod = rendered.pod(SCHEDULER)
    (volume,) = [volume["projected"] for volume in pod.spec["volumes"] if volume["name"] == "priors"]
    (mount,) = [mount for mount in pod.main()["volumeMounts"] if mount["name"] == "priors"]
    assert environment_of(pod.main())["RISE_PRIORS"] == mount["mountPath"] and mount["readOnly"]
    (folder / "..1").mkdir()
    (folder / "..data").symlink_to("..1")
    for name in (source["configMap"]["name"] for source in volume["sources"]):
        for key, data in {**brought, **made(rendered)}[name].items():
            (folder / "..1" / key).write_bytes(data)
            (folder / key).symlink_to(Path("..data") / key)
    return {"RISE_PRIORS": str(folder)}


def made(rendered: Rendered) -> dict[str, dict[str, bytes]]:
    """The binary ConfigMaps of the chart."""
    return {
        body["metadata"]["name"]: {key: base64.b64decode(text) for key, text in body["binaryData"].items()}
        for body in rendered.all("ConfigMap")
        if "binaryData" in body
    }


def test_the_prior_of_the_embedded_family_is_the_one_that_ships(rendered: Rendered) -> None:
    assert made(rendered) == {"rise-scheduler-priors": {f"{EMBEDDED}.npz": rise_shapes.prior_file().read_bytes()}}


def test_another_prior_starts_the_scheduler_anew(tmp_path: Path) -> None:
    """It reads them once."""
    before, other = render(), tmp_path / "rise"
    shutil.copytree(CHART, other)
    (other / "files" / "prior.npz").write_bytes(b"another")
    after = Rendered(helm("template", RELEASE, str(other), "--namespace", NAMESPACE))
    again = render()
    templates = [each.pod(SCHEDULER).owner["spec"]["template"] for each in (before, again, after)]
    assert templates[0] == templates[1] != templates[2]
    named = render("--set", "scheduler.priors.existingConfigMap=my-priors")
    assert named.pod(SCHEDULER).owner["spec"]["template"] != templates[0]


async def test_a_scheduler_started_as_the_chart_says_decides_by_them(
    nats_server: Server, bus: Bus, tmp_path: Path
) -> None:
    known = rise_shapes.family()
    await prepare(bus, known=known)
    rendered = render("--set", "scheduler.priors.existingConfigMap=my-priors")
    container = rendered.pod(SCHEDULER).main()
    environment = {name: text for name, text in environment_of(container).items() if "NATS" not in name}
    environment |= {"RISE_HEALTH": "", **mounted(rendered, tmp_path, BROUGHT)}
    running = await process(nats_server, *container["args"], **environment)

    decision = await ask(bus, question())
    running.terminate()
    _, said = await running.communicate()
    assert f"the prior of {EMBEDDED}" in said.decode() and "the prior of mine" in said.decode()

    entry = await Bucket(bus, subjects.KV_DECISIONS).get(decision.id)
    assert entry is not None and entry.value is not None
    told = qualities(codec.decode(DecisionRecord, entry.value))
    prior = {EMBEDDED: read_prior(rise_shapes.prior_file())}
    assert told == qualities(by(ComposedPolicy(Learning(priors=prior)), known))
    assert told != qualities(by(ComposedPolicy(), known))


def by(policy: ComposedPolicy, known: ModelFamily) -> DecisionRecord:
    return decided(question(), of=known, policy=policy)


def qualities(record: DecisionRecord) -> dict[str, float | None]:
    """What is believed of each arm."""
    return {each.arm: each.predictions.quality for each in record.candidates if not each.masked}
