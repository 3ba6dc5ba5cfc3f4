"""The pure parts of the benchmark over HTTP: when requests are due, what they are, the rows and their goals."""

from __future__ import annotations

import asyncio
import itertools
import math
import statistics
import time
from dataclasses import replace

import pytest

from benchmarks import _asked, _http_load, scheduler_http
from rise_scheduler.arms import canonical_arms

MEASURED = scheduler_http.Measured(
    even=[0.002] * 98 + [0.004, 0.2],
    poisson=[0.003] * 100,
    bus=[0.001] * 100,
    bad=0,
    arms=30,
    cpu={"scheduler": 0.5},
    load=0.3,
)


def test_requests_are_due_evenly_or_as_a_poisson_process() -> None:
    even = list(_http_load.due(200.0, 5, None))
    assert even == pytest.approx([0.0, 0.005, 0.01, 0.015, 0.02])
    poisson = list(_http_load.due(200.0, 20_000, 7))
    gaps = [later - earlier for earlier, later in itertools.pairwise(poisson)]
    assert statistics.mean(gaps) == pytest.approx(0.005, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(0.005, rel=0.05)
    assert poisson == list(_http_load.due(200.0, 20_000, 7))


def test_the_family_has_thirty_arms_and_the_fleet_twenty_workers() -> None:
    assert len(canonical_arms(_asked.family())) == 30
    workers = _asked.workers(0.0)
    assert len({worker.worker for worker in workers}) == 20
    assert len({worker.pool for worker in workers}) == 5


def test_every_question_is_another_job() -> None:
    asked = [_asked.question(number) for number in range(50)]
    assert len({question.request.job_id for question in asked}) == 50
    assert len({question.request.spec.prompt for question in asked}) > 40
    assert {question.request.spec.preference for question in asked} == {0.0, 0.25, 0.5, 0.75, 1.0}


def test_the_rows_say_whether_the_goal_is_met() -> None:
    rows = {row.name: row for row in scheduler_http.rows_of(MEASURED)}
    assert (rows["http_ms_p50"].ours, rows["http_ms_p99"].ours) == (2.0, 4.0)
    assert rows["http_ms_p99"].met is True
    assert rows["bad_answers"].met is True
    slow = replace(MEASURED, even=[0.006] * 100, bad=1)
    missed = {row.name: row.met for row in scheduler_http.rows_of(slow)}
    assert (missed["http_ms_p99"], missed["bad_answers"]) == (False, False)
    assert missed["http_poisson_ms_p99"] is None


async def test_a_request_is_timed_from_when_it_was_due_and_a_bad_answer_is_counted() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in itertools.count():
            try:
                await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            status = "200 OK" if number % 2 == 0 else "503 Busy"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok".encode())
        writer.close()
        await writer.wait_closed()
        over.set()

    over = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    began = time.perf_counter()
    async with server:
        answered = await _http_load.load((host, port), [_http_load.get("/")] * 4, [0.0, 0.0, 0.0, 0.1], connections=1)
        await asyncio.wait_for(over.wait(), 60)
    assert len(answered.seconds) == 4
    assert answered.bad == [503, 503]
    assert 0 < max(answered.seconds) < time.perf_counter() - began
    assert math.isfinite(sum(answered.seconds))
    assert time.perf_counter() - began >= 0.1
