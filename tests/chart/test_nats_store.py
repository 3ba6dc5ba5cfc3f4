"""What JetStream of the chart leaves on its volume: without the key nothing can be read, and with it everything."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from rise_contracts.rights import Principal
from rise_runtime import client, layout
from tests.bus.runtime import small
from tests.chart.charts import Rendered, render
from tests.chart.nats_pod import NatsPod, entered, held

READY = "/healthz"
"""What the startup probe asks: a pod that fails it gets no traffic."""
OPERATOR, USER = Principal("operator"), Principal("user")


def lies(pod: NatsPod, *needles: str) -> list[str]:
    """The files of the store that hold any of these words. Nothing writes to them now."""
    files = [path for path in pod.store.rglob("*") if path.is_file()]
    assert files, "there is a store"
    contents = {str(path.relative_to(pod.store)): path.read_bytes() for path in files}
    return [name for name, held in contents.items() if any(needle.encode() in held for needle in needles)]


async def handed_in(pod: NatsPod, rendered: Rendered, folder: Path, stays: str, goes: str) -> str:
    """A job that stays, by its id, and beside it one that is removed: its bytes stay in the same file."""
    async with entered(rendered, folder, pod.url, OPERATOR) as bus:
        await layout.ensure(bus)
    async with entered(rendered, folder, pod.url, USER) as bus:
        job = await client.submit(bus, small.spec(stays, seed=7))
        other = await client.submit(bus, small.spec(goes, seed=8))
        await client.cancel(bus, other.job_id)
        await client.remove(bus, other.job_id)
        assert [record.job_id for record in await client.list_jobs(bus)] == [job.job_id]
    return job.job_id


async def prompt_of(pod: NatsPod, rendered: Rendered, folder: Path, job_id: str) -> str:
    async with entered(rendered, folder, pod.url, USER) as bus:
        return (await client.get_job(bus, job_id)).request.spec.prompt


def canaries() -> tuple[str, str]:
    return f"heron{secrets.token_hex(8)}", f"stork{secrets.token_hex(8)}"


def with_key(tmp_path: Path, **encryption: object) -> Rendered:
    return render(values={"nats": {"encryption": encryption}}, folder=tmp_path)


async def test_of_what_the_chart_stores_nothing_can_be_read_without_its_key(
    nats_pod: NatsPod, plain: Rendered, tmp_path: Path
) -> None:
    stays, goes = canaries()
    nats_pod.start(plain)
    job_id = await handed_in(nats_pod, plain, tmp_path, stays, goes)
    nats_pod.stop()
    key = held(plain, "rise-nats-encryption")["key"]
    assert lies(nats_pod, stays, goes, job_id, key) == []
    nats_pod.start(plain)
    assert await prompt_of(nats_pod, plain, tmp_path, job_id) == stays


@pytest.mark.parametrize("other", ["another key", "none"])
async def test_with_another_key_nothing_is_served_and_nothing_is_lost(
    nats_pod: NatsPod, plain: Rendered, tmp_path: Path, other: str
) -> None:
    assert plain.pod("StatefulSet/rise-nats").main()["startupProbe"]["httpGet"]["path"] == READY
    nats_pod.start(plain)
    job_id = await handed_in(nats_pod, plain, tmp_path, *canaries())
    nats_pod.until(READY, 200, "ok")
    nats_pod.stop()
    nats_pod.start(with_key(tmp_path, enabled=other != "none"))  # where nothing is installed, each rendering draws anew
    nats_pod.until(READY, 503, "could not be recovered")
    nats_pod.stop()
    nats_pod.start(plain)
    assert (await prompt_of(nats_pod, plain, tmp_path, job_id)).startswith("heron")


async def test_a_key_is_exchanged_by_naming_the_one_before(
    nats_pod: NatsPod, plain: Rendered, renderings: dict[str, Rendered], tmp_path: Path
) -> None:
    nats_pod.start(plain)
    job_id = await handed_in(nats_pod, plain, tmp_path, *canaries())
    nats_pod.stop()
    nats_pod.bring("rise-nats-encryption", held(plain, "rise-nats-encryption"))
    nats_pod.start(renderings["own-key"])
    nats_pod.until(READY, 200, "ok")
    nats_pod.stop()
    alone = with_key(tmp_path, existingSecret="my-key")
    nats_pod.start(alone)
    assert (await prompt_of(nats_pod, alone, tmp_path, job_id)).startswith("heron")
    nats_pod.stop()
    nats_pod.start(plain)
    nats_pod.until(READY, 503, "could not be recovered")


async def test_a_store_from_before_is_taken_up_and_can_not_be_read_any_more(
    nats_pod: NatsPod, plain: Rendered, tmp_path: Path
) -> None:
    stays, goes = canaries()
    before = with_key(tmp_path, enabled=False)
    nats_pod.start(before)
    job_id = await handed_in(nats_pod, before, tmp_path, stays, goes)
    nats_pod.stop()
    assert lies(nats_pod, stays) and lies(nats_pod, goes), "what is looked for is there"
    nats_pod.start(plain)
    assert await prompt_of(nats_pod, plain, tmp_path, job_id) == stays
    nats_pod.stop()
    assert lies(nats_pod, stays, goes) == []


def test_the_key_is_in_a_secret_alone_which_stays_as_long_as_the_volume(plain: Rendered) -> None:
    secret = plain.one("Secret", "rise-nats-encryption")
    assert secret["immutable"] is True
    assert secret["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    (key,) = held(plain, "rise-nats-encryption").values()
    assert len(key) == 40 and plain.text.count(key) == 0
    assert plain.text.count(secret["data"]["key"]) == 1
    sources = [item["valueFrom"]["secretKeyRef"] for item in environment(plain) if "valueFrom" in item]
    assert sources == [{"name": "rise-nats-encryption", "key": "key"}]


def test_a_key_that_is_brought_is_taken_and_none_is_made(renderings: dict[str, Rendered]) -> None:
    own = renderings["own-key"]
    assert "rise-nats-encryption" not in [body["metadata"]["name"] for body in own.all("Secret")]
    sources = [item["valueFrom"]["secretKeyRef"]["name"] for item in environment(own) if "valueFrom" in item]
    assert sorted(sources) == ["my-key", "rise-nats-encryption"]


def test_where_it_is_turned_off_there_is_no_key(renderings: dict[str, Rendered]) -> None:
    off = renderings["everything-off"]
    assert "nats-encryption" not in off.text and "env" not in off.pod("StatefulSet/rise-nats").main()
    assert "cipher" not in off.one("ConfigMap", "rise-nats")["data"]["nats.conf"]


def test_a_key_of_a_store_that_goes_with_its_pod_goes_with_the_release() -> None:
    secret = render("--set", "nats.persistence.enabled=false").one("Secret", "rise-nats-encryption")
    assert "annotations" not in secret["metadata"]


def environment(rendered: Rendered) -> list[dict[str, dict[str, dict[str, str]]]]:
    found = rendered.pod("StatefulSet/rise-nats").main()["env"]
    assert isinstance(found, list)
    return found
