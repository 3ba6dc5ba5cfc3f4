"""A prompt is its user's: whatever becomes of a job, no log, metric, command line or file but the bus' own store has a
word of it.

Every prompt here holds a word that there is nowhere else. It is looked for in everything that the processes of a real
platform wrote, showed or were called with.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil
import pytest

from rise_contracts import codec, subjects
from rise_contracts.messages import Problem
from rise_contracts.records import JobRecord
from rise_contracts.resources import RelayJobSpec
from rise_runtime import client, streams
from rise_runtime.bus import Bus, connect
from tests.bus import cli

CANARY = f"heron{secrets.token_hex(6)}"
FORMS = {
    "plain": f"a {CANARY} above a lake",
    "another alphabet": f"Ünïcödé 湖 🦩 {CANARY} «в тумане»",
    "of several lines": f"a lake\n\tand 'one' \"two\" \\{CANARY}",
    "very long": f"{CANARY} " * 52,
}
FATES = [
    ("plain", "drawn"),
    ("another alphabet", "drawn"),
    ("plain", "broken"),
    ("another alphabet", "quoted"),
    ("of several lines", "quoted"),
    ("very long", "quoted"),
]
SHOWN = CANARY.encode()


@dataclass(frozen=True)
class Up:
    """A platform that is up, and what it says of itself."""

    home: cli.Home
    url: str
    token: str

    def submit(self, prompt: str, *arguments: str) -> str:
        said = self.home.rise("submit", prompt, "--fixed", "large:3@1.2+finisher:3", *arguments)
        assert said.code == 0, said.err
        return said.out.strip()

    def record(self, job_id: str) -> dict[str, Any]:
        found = self.home.rise("get", job_id, "--json").json()
        assert isinstance(found, dict)
        return found

    def ended(self, job_id: str) -> dict[str, Any]:
        self.home.rise("watch", job_id)
        record = self.record(job_id)
        assert record["state"] in ("Complete", "Failed"), record
        return record

    def files(self) -> Iterator[Path]:
        """Everything that was left, but what the user asked for and what the bus keeps."""
        for path in sorted(self.home.folder.rglob("*")):
            if path.is_file() and self.home.out not in path.parents and "jetstream" not in path.parts:
                yield path

    def store(self) -> bytes:
        """What the bus keeps."""
        return b"".join(path.read_bytes() for path in self.home.folder.rglob("jetstream/**/*") if path.is_file())

    def metrics(self) -> list[str]:
        """The page of every process that serves one."""
        connections = [each for process in self.home.processes() for each in process.net_connections("tcp")]
        pages = [page(each.laddr.port) for each in connections if each.status == psutil.CONN_LISTEN]
        return [text for text in pages if "rise_" in text]


def page(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    except (OSError, HTTPException):
        return ""  # that of NATS


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    home = cli.Home(tmp_path_factory.mktemp("privacy"))
    home.environment["RISE_HEALTH"] = "127.0.0.1:0"
    said = home.rise("up", "--only", "--family", str(home.family), "--json")
    try:
        assert said.code == 0, said.err
        state = json.loads((home.state / "platform.json").read_text())
        yield Up(home, state["url"], state["token"])
    finally:
        home.rise("down")
    # What the user keeps between two platforms is the store alone; see test_expiry.py for how a job leaves it.
    assert [path for path in Up(home, "", "").files() if SHOWN in path.read_bytes()] == []


def assert_nothing_is_said(up: Up) -> None:
    found = [path for path in up.files() if SHOWN in path.read_bytes()]
    assert found == [], [line for line in found[0].read_text(errors="replace").splitlines() if CANARY in line][:3]
    assert any(path.name == "scheduler.log" for path in up.files()), "the logs are not where they are looked for"
    pages = up.metrics()
    assert pages and not [text for text in pages if CANARY in text]
    called = {" ".join(process.cmdline()) for process in up.home.processes()}
    assert called and not [line for line in called if CANARY in line]


@pytest.mark.parametrize(("form", "fate"), FATES)
def test_a_job_tells_nobody_what_it_draws(up: Up, form: str, fate: str) -> None:
    prompt = f"{fate if fate != 'drawn' else ''} {FORMS[form]}"
    job_id = up.submit(prompt, "--negative", f"no {CANARY}", "--guidance", "3")
    assert CANARY not in job_id
    record = up.ended(job_id)
    assert record["state"] == ("Complete" if fate == "drawn" else "Failed")
    assert CANARY in record["request"]["spec"]["prompt"]
    assert CANARY not in json.dumps({**record, "request": None})
    if fate == "quoted":
        assert "a library that quotes its input" in record["error"]["message"]  # the rest of it helps
    assert SHOWN in up.store(), "the bus has to know it: what is looked for can be found"
    assert_nothing_is_said(up)


def test_a_job_that_kills_its_worker_and_is_given_up_tells_nobody(up: Up) -> None:
    record = up.ended(up.submit(f"deadly {FORMS['another alphabet']}"))
    assert record["error"]["reason"] == "DeadLettered"
    assert_nothing_is_said(up)


@pytest.mark.parametrize("what", ["too long", "nothing", "no such member"])
def test_input_that_is_refused_is_refused_before_it_gets_anywhere(up: Up, what: str) -> None:
    arguments = {
        "too long": [f"{CANARY} " * 100],
        "nothing": [" ", "--negative", CANARY * 100],
        "no such member": [CANARY, "--fixed", "largest:3"],
    }[what]
    assert up.home.rise("submit", *arguments).code == 2
    assert_nothing_is_said(up)


def test_what_nobody_can_read_is_refused_without_a_word_of_it(up: Up) -> None:
    """Messages that are damaged, or somebody's mischief, to each door that takes any."""

    async def send() -> None:
        async with connect(up.url, up.token, patience=30.0) as bus:
            record = await submitted(bus)
            await client.wait(bus, record.job_id)
            data = codec.encode(record.request)
            task = b'{"version":1,"request":' + data
            for damaged in (task, task + b"}", data.replace(b'"seed"', b'"sede"'), SHOWN):
                await streams.store(bus, subjects.work("edge", None, record.job_id, 1), damaged)
                await streams.store(bus, subjects.event(record.job_id, "job-done"), damaged)
                await streams.store(bus, subjects.OUTCOMES, damaged)
                answer = (await bus.request(subjects.CONFIGURE, damaged, timeout=30.0)).data
                assert codec.decode(Problem, answer).problem == "InvalidInput" and SHOWN not in answer
            await given_up(bus, record.job_id)

    asyncio.run(send())
    assert_nothing_is_said(up)


async def submitted(bus: Bus) -> JobRecord:
    return await client.submit(bus, RelayJobSpec(prompt=FORMS["plain"], family="rise-shapes"))


async def given_up(bus: Bus, job_id: str) -> None:
    """Until the damaged tasks are among the dead letters."""
    deadline = time.monotonic() + 60
    while not await streams.last(bus, subjects.STREAM_DEAD, subjects.dead(job_id)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
