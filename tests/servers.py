"""A real nats-server for a test: loopback, a port of its own, a token or more, a folder that goes with the test."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sysconfig
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rise_contracts import errors
from rise_runtime.bus import Bus, open_bus


def find_nats_server() -> str | None:
    """The server named by RISE_NATS_SERVER, that of the wheel, or that on PATH."""
    named = os.environ.get("RISE_NATS_SERVER")
    scripts = sysconfig.get_path("scripts")
    return named or shutil.which("nats-server", path=scripts) or shutil.which("nats-server")


class Server:
    """A nats-server process. `kill` is SIGKILL; `start` again keeps port and store.

    `locks` is the part of its configuration that says who may do what; without it, whoever has the token everything.
    """

    def __init__(
        self, folder: Path, *, max_payload: int = 8 * 1024 * 1024, jetstream: bool = True, locks: str | None = None
    ) -> None:
        self.token = secrets.token_hex(8)
        self.locks = locks if locks is not None else f'authorization {{ token: "{self.token}" }}'
        self._folder = folder
        self._max_payload, self._jetstream = max_payload, jetstream
        self.key = ""
        """What the store is encrypted with; empty: it is not."""
        self._port = -1
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    @property
    def store(self) -> Path:
        """Where JetStream keeps its files."""
        return self._folder / "store"

    def start(self) -> None:
        binary = find_nats_server()
        assert binary is not None
        for old in self._folder.glob("*.ports"):
            old.unlink()
        command = [binary, "-c", str(self._configure())]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._port = self._read_port()

    def reload(self, locks: str) -> None:
        """Have the running server take up other locks. It ends the connections of those who are not let in any more."""
        self.locks = locks
        self._configure()
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def _configure(self) -> Path:
        config = self._folder / "nats.conf"
        key = f'cipher: chachapoly, key: "{self.key}",' if self.key else ""
        store = f'jetstream {{ {key} store_dir: "{self._folder / "store"}" }}' if self._jetstream else ""
        config.write_text(
            f'host: "127.0.0.1"\nport: {self._port}\nports_file_dir: "{self._folder}"\n'
            f"max_payload: {self._max_payload}\n{self.locks}\n{store}\n"
        )
        return config

    def _read_port(self) -> int:
        """The server writes its ports to a file as soon as it listens."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for path in self._folder.glob("*.ports"):
                text = path.read_text()
                if text.rstrip().endswith("}"):
                    found = re.search(r'"(?:nats|tls)://127\.0\.0\.1:(\d+)"', text)
                    assert found is not None
                    return int(found[1])
            assert self._process is not None
            assert self._process.poll() is None, "nats-server ended at once"
            time.sleep(0.01)
        raise AssertionError("nats-server did not listen within 30 s")

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def forget(self) -> None:
        """Lose everything that was stored, as a volume that breaks does. The server is down meanwhile."""
        shutil.rmtree(self._folder / "store", ignore_errors=True)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


@pytest.fixture
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server, stopped after the test."""
    server = Server(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def bus(nats_server: Server) -> AsyncIterator[Bus]:
    """A connection to `nats_server`."""
    try:
        opened = await open_bus(nats_server.url, nats_server.token, patience=30.0)
    except errors.BusUnavailable as error:
        pytest.fail(str(error))
    yield opened
    await opened.close()
