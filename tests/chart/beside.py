"""A process beside the platform, such as a judge: the container that the chart makes for it, run here."""

from __future__ import annotations

import contextlib
import os
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.chart.charts import Rendered, environment_of
from tests.chart.nats_pod import held, written
from tests.kube.children import Child, free_ports


@dataclass(frozen=True)
class Beside:
    """The process, and the port of its health."""

    child: Child
    port: int

    def ready(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=10) as answer:
            return bool(answer.status == 200)


@contextlib.contextmanager
def judging(
    rendered: Rendered,
    pod: str,
    url: str,
    folder: Path,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Beside]:
    """Started with the judge's key, and waiting for the platform by now."""
    container, (port,) = rendered.pod(pod).main(), free_ports(1)
    login = written(folder / "judge" / "login", held(rendered, "rise-nats-judge")["login"])
    own = {"RISE_NATS_URL": url, "RISE_NATS_ACCESS": str(login.parent), "RISE_HEALTH": f"127.0.0.1:{port}"}
    told = {**os.environ, **environment_of(container), **own, **environment}
    command = [sys.executable, *container["command"][1:], *arguments]
    child = Child(container["name"], command, folder / f"{container['name']}.log", told)
    child.start()
    try:
        child.wait_until(lambda: "waiting for the platform" in child.tail(), 60, "connect")
        yield Beside(child, port)
    finally:
        child.kill()
