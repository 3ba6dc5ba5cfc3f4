"""`python -m rise_scheduler` as a process: starting, ending, and saying in one line what is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rise_contracts import manifest
from rise_runtime import layout
from rise_runtime.bus import Bus
from tests.bus.scheduler_world import PATIENCE_S, ask, beat, process
from tests.servers import Server
from tests.unit.scheduler.builders import family, question, worker


async def ended(running: asyncio.subprocess.Process) -> tuple[int, str]:
    """Exit code and the last line of what it said."""
    _, said = await asyncio.wait_for(running.communicate(), PATIENCE_S)
    assert running.returncode is not None
    text = said.decode()
    assert "Traceback" not in text, text
    return running.returncode, text.strip().splitlines()[-1] if text.strip() else ""


@pytest.mark.parametrize("policy", ["fixed", "linucb"])
async def test_it_serves_a_family_from_a_file_until_it_is_told_to_stop(
    nats_server: Server, bus: Bus, tmp_path: Path, policy: str
) -> None:
    await layout.ensure(bus)
    path = tmp_path / "family.yaml"
    path.write_text(manifest.dump(family()), encoding="utf-8")
    running = await process(nats_server, "--family", str(path), RISE_POLICY=policy)
    await beat(bus, worker(), worker("device-0", "device"))
    decision = await ask(bus, question())
    assert decision.policy == policy
    running.terminate()
    code, _ = await ended(running)
    assert code == 0


async def test_a_bus_that_is_away_is_one_line_and_an_exit_code(nats_server: Server) -> None:
    nats_server.kill()
    code, line = await ended(await process(nats_server, "--patience", "0"))
    assert code == 7
    assert line.startswith("rise_scheduler: NATS at nats://127.0.0.1:")


async def test_a_wrong_token_is_refused_without_being_shown(nats_server: Server) -> None:
    code, line = await ended(await process(nats_server, RISE_NATS_TOKEN="not-the-token"))
    assert code == 7
    assert "token" in line
    assert "not-the-token" not in line
