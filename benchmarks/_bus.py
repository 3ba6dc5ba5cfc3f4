"""A NATS server for a benchmark: a process of its own that does not outlive it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from rise_cli.local import nats_server
from tests.kube.children import Child

PATIENCE_S = 60.0


def start_nats(folder: Path, token: str, closing: ExitStack) -> tuple[Child, str]:
    """The process, and where it listens; it is killed when `closing` closes."""
    own = folder / "nats"
    own.mkdir()
    settings = nats_server.Settings(own, own / "store", own, token)
    program = nats_server.prepare(settings, nats_server.find_binary())
    child = Child(program.name, program.command, program.log)
    closing.callback(child.kill)
    child.start()
    child.wait_until(lambda: nats_server.address_in(own) is not None, PATIENCE_S, "listen")
    url = nats_server.address_in(own)
    assert url is not None
    return child, url
