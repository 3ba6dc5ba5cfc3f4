"""The scheduler's HTTP, asked whatever its own document allows and forbids, by schemathesis: a real process answers.

What is looked for: a bug (5xx), an answer that is not of its schema, a status or header that the document lacks, and a
request that the schema forbids and that is taken all the same. To the document come examples that fit this scheduler.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sysconfig
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rise_runtime.bus import Bus
from tests.bus.scheduler_http import outcome_of, running
from tests.bus.scheduler_world import beat, prepare
from tests.servers import Server
from tests.unit.scheduler.builders import question, worker

SECONDS = 12
TOKEN = "s3cret-of-fuzzing"
# Not everything that the schema takes makes sense: a job may name a family that there is not. That it is then refused
# with a status of the document is looked at; that it is accepted is not.
EXCLUDED = "positive_data_acceptance"
# 503 is an answer of the document too: nobody is free, come again. Every other 5xx is a bug.
SETTINGS = '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", "503"]\n'


@contextlib.asynccontextmanager
async def beating(bus: Bus) -> AsyncIterator[None]:
    """Workers that stay alive, as real ones do, so that questions have answers."""

    async def beats() -> None:
        while True:
            await beat(bus, worker(), worker("device-0", "device"))
            await asyncio.sleep(1.0)

    task = asyncio.create_task(beats())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("token", [None, TOKEN], ids=["loopback", "token"])
async def test_no_request_gets_an_answer_that_the_document_does_not_know(
    nats_server: Server, bus: Bus, tmp_path: Path, token: str | None
) -> None:
    await prepare(bus)
    environment = {"RISE_HTTP_TOKEN": token} if token else {}
    async with beating(bus), running(nats_server, **environment) as scheduler:
        if token:
            scheduler.http.headers["Authorization"] = f"Bearer {token}"
        decision = await scheduler.decided()
        document = (await scheduler.http.get("/openapi.json")).json()
        paths = document["paths"]
        bodies = {"/v1/configurations": question(), "/v1/outcomes": outcome_of(decision)}
        for path, body in bodies.items():
            content = paths[path]["post"]["requestBody"]["content"]["application/json"]
            content["example"] = body.model_dump(mode="json", by_alias=True, exclude_none=True)
        (parameter,) = paths["/v1/decisions/{decision_id}"]["get"]["parameters"]
        parameter["example"] = decision.id
        (tmp_path / "document.json").write_text(json.dumps(document))
        (tmp_path / "schemathesis.toml").write_text(SETTINGS)
        fuzz = await asyncio.create_subprocess_exec(
            str(Path(sysconfig.get_path("scripts")) / "schemathesis"),
            "run",
            "document.json",
            f"--url=http://127.0.0.1:{scheduler.port}",
            "--checks=all",
            f"--exclude-checks={EXCLUDED}",
            "--phases=examples,coverage,fuzzing",
            f"--max-time={SECONDS}",
            "--seed=7",
            "--no-color",
            *([f"--header=Authorization: Bearer {token}"] if token else []),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(fuzz.communicate(), 6 * SECONDS)
        assert fuzz.returncode == 0, said.decode()[-8000:]
        metrics = (await scheduler.http.get("/metrics")).text
    # The examples were asked too, so that answers were looked at and not only refusals.
    for counted in ("rise_decision_seconds_count", 'rise_outcomes_total{verdict="learned"}'):
        assert sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(counted)) >= 1, counted
