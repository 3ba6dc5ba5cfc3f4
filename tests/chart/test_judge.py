"""The judge of the chart: it is there where the embedded family is drawn, and its word reaches the scheduler."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from rise_contracts.configuration import Configuration
from rise_runtime import client, layout
from rise_runtime.worker import run_worker
from tests.bus import cli_stage
from tests.bus.runtime import small
from tests.bus.security.matrix import EDGE, OPERATOR, SCHEDULER, USER
from tests.bus.test_judge import task
from tests.chart.beside import judging
from tests.chart.charts import Object, Rendered, render
from tests.chart.conftest import SCORER, VALUES
from tests.chart.nats_pod import NatsPod, entered
from tests.chart.test_nats import secrets_of

POD = "Deployment/rise-judge"
SDXL: Object = {"tier": "edge", "family": "sdxl"}
WITHOUT: dict[str, Object] = {
    "it is not wanted": {"judge": {"enabled": False}},
    "another family is drawn": {"pools": {"edge": SDXL, "device": {**SDXL, "tier": "device"}}},
    "no pool comes along": {"pools": {"edge": None, "device": None}},
}
ALONE = Configuration(arm="large:4", stages=(small.stage(0, "edge", last=True),), wire_dtype="fp32")


def test_it_is_there_as_the_chart_comes_and_its_key_is_the_judges(renderings: dict[str, Rendered]) -> None:
    for name in VALUES.keys() - {"everything-off", "external-nats", "own-secret"}:
        assert secrets_of(renderings[name].pod(POD).spec) == ["rise-nats-judge"], name


@pytest.mark.parametrize("why", WITHOUT)
def test_nothing_of_it_is_there_where_it_has_nothing_to_judge(tmp_path: Path, why: str) -> None:
    assert "judge" not in render(values=WITHOUT[why], folder=tmp_path).text


def test_one_pool_of_the_family_is_enough(tmp_path: Path) -> None:
    assert POD in {pod.name for pod in render(values={"pools": {"edge": SDXL}}, folder=tmp_path).pods()}


def test_a_scorer_has_a_judges_key_where_no_judge_is(tmp_path: Path) -> None:
    rendered = render(values={**WITHOUT["it is not wanted"], "scorer": SCORER}, folder=tmp_path)
    assert secrets_of(rendered.pod("Deployment/rise-scorer").spec) == ["rise-nats-judge"]
    assert rendered.one("Secret", "rise-nats-judge")
    assert POD not in {pod.name for pod in rendered.pods()}


async def test_started_as_the_chart_says_it_waits_for_the_platform_and_tells_what_a_picture_is_worth(
    nats_pod: NatsPod, plain: Rendered, tmp_path: Path
) -> None:
    url = nats_pod.start(plain)
    with judging(plain, POD, url, tmp_path) as judge:
        async with contextlib.AsyncExitStack() as stack:
            people = (OPERATOR, SCHEDULER, EDGE, USER)
            buses = {who: await stack.enter_async_context(entered(plain, tmp_path, url, who)) for who in people}
            await layout.ensure(buses[OPERATOR])
            await stack.enter_async_context(small.scheduler(buses[SCHEDULER], ALONE))
            await stack.enter_async_context(small.driver(buses[OPERATOR]))
            working = run_worker(buses[EDGE], small.identity("edge-1"), cli_stage.handle, settings=small.QUICK)
            await stack.enter_async_context(task(asyncio.ensure_future(working)))
            await client.submit(buses[USER], small.spec("a large red circle", seed=7))
            told = await small.outcomes(buses[OPERATOR], 2)
        assert [(each.judged_by, each.quality) for each in told if each.judged_by] == [("judge", 1.0)]
        assert judge.ready()
        assert "violation" not in judge.child.log.read_text().lower()
