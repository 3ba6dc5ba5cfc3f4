"""The handler's context, log lines, health's address."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from rise_contracts import errors
from rise_contracts.handoff import HandoffHeader
from rise_runtime import telemetry
from rise_runtime.seam import Checkpoint, Identity, StageContext, Stopped

ME = Identity("edge-1", "edge", "edge")


def test_progress_is_passed_on() -> None:
    seen: list[tuple[int, int, float, float]] = []
    context = StageContext(ME, 1, lambda *values: seen.append(values))
    context.progress(1, 4, 2.5, 0.1)
    assert seen == [(1, 4, 2.5, 0.1)]


def test_a_stopped_handler_stops_at_its_next_step() -> None:
    seen: list[tuple[int, int, float, float]] = []
    context = StageContext(ME, 1, lambda *values: seen.append(values))
    context.check()
    thread = threading.Thread(target=context.stop, args=("cancelled",))
    thread.start()
    thread.join()
    with pytest.raises(Stopped, match="cancelled"):
        context.progress(2, 4, 1.0, 0.1)
    with pytest.raises(Stopped):
        context.check()
    assert seen == []


def test_the_first_reason_to_stop_counts() -> None:
    context = StageContext(ME, 1)
    context.stop("cancelled")
    context.stop("draining")
    with pytest.raises(Stopped, match="cancelled"):
        context.check()


def test_without_a_store_checkpoints_go_nowhere_and_cost_nothing() -> None:
    context = StageContext(ME, 1)
    header = HandoffHeader(
        job="j", attempt=1, stage=0, family="tiny", latent_contract="0" * 64, sigma=1.0, shape=(1, 4, 8, 8),
        dtype="fp32", solver="euler", sha256="0" * 64, nbytes=1,
    )  # fmt: skip
    context.keep(Checkpoint(header, b"x", 1, 0.1))
    assert context.keeping_seconds == 0
    assert (context.resume, context.resumed_at) == (None, 0)


@pytest.fixture
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_root_logger")
def test_json_log_lines_are_objects() -> None:
    stream = io.StringIO()
    telemetry.configure_logging({"RISE_LOG_FORMAT": "json", "RISE_LOG_LEVEL": "info"}, stream)
    log = logging.getLogger("rise.test")
    log.debug("not told")
    log.info("job %s\nended", "job-1")
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("failed")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["level"], first["logger"], first["message"]) == ("info", "rise.test", "job job-1\nended")
    assert "ValueError: why" in second["trace"]


@pytest.mark.usefixtures("_root_logger")
def test_text_log_lines_are_for_people() -> None:
    stream = io.StringIO()
    telemetry.configure_logging({}, stream)
    logging.getLogger("rise.test").warning("hello")
    assert stream.getvalue().endswith("WARNING rise.test: hello\n")


@pytest.mark.parametrize("environment", [{"RISE_LOG_LEVEL": "lout"}, {"RISE_LOG_FORMAT": "xml"}])
def test_an_unknown_way_to_log_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(errors.UnknownName):
        telemetry.configure_logging(environment, io.StringIO())


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", None),
        ("9090", ("127.0.0.1", 9090)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:0", ("::1", 0)),
    ],
)
def test_healths_address_is_read(text: str, address: tuple[str, int] | None) -> None:
    assert telemetry.health_address({"RISE_HEALTH": text}) == address


@pytest.mark.parametrize("text", ["http", "host:", "70000", "-1", "host:http"])
def test_a_bad_address_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="a port or host:port"):
        telemetry.health_address({"RISE_HEALTH": text})
