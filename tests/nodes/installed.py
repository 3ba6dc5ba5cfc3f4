"""Rise on the nodes, as its chart installs it, and what a user does with it."""

from __future__ import annotations

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from rise_contracts.records import JobRecord
from rise_runtime import client
from rise_runtime.bus import connect
from rise_runtime.client import Result
from rise_shapes.grammar import parse
from rise_shapes.judge import judge
from tests.chart.charts import CHART, helm
from tests.kube import images
from tests.kube.kubectl import Kubectl
from tests.nodes.ground import TIER, Ground

RELEASE, NAMESPACE = "rise", "rise-system"
INSTALLING = 300.0
"""Seconds for everything to be ready, on a loaded machine."""


class Installed:
    """One release. What cares for jobs is on the edge, so that the device can fail."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        self.ground, self._folder = ground, folder
        self.kubectl: Kubectl = ground.kubectl(NAMESPACE)

    def install(self) -> None:
        """helm install, and every pool ready."""
        values = self._folder / "values.yaml"
        values.write_text(yaml.safe_dump(self._values()))
        where = ("--create-namespace", "--wait", f"--timeout={INSTALLING:g}s", f"--values={values}")
        self._helm("install", RELEASE, str(CHART), *where)
        for pool in ("edge", "device"):
            self.kubectl.wait(f"stagepool/{pool}", "condition=Ready", INSTALLING)

    def uninstall(self) -> None:
        self._helm("uninstall", RELEASE, "--wait", "--ignore-not-found")

    def test(self) -> str:
        """helm test: a picture made from inside the cluster."""
        return self._helm("test", RELEASE, f"--timeout={INSTALLING:g}s")

    def complete(self, name: str, seconds: float = 120.0) -> dict[str, Any]:
        """The job once it is; raises KubectlFailed or, with what is there, TookTooLong."""
        return self.kubectl.until("relayjob", name, lambda seen: _is(seen, "Complete"), seconds)

    def pool(self, name: str, status: str, seconds: float = 120.0) -> str:
        """The reason once the pool is Ready or, by status "False", is not."""

        def holds(seen: dict[str, Any]) -> bool:
            return any(each["type"] == "Ready" and each["status"] == status for each in _conditions(seen))

        seen = self.kubectl.until("stagepool", name, holds, seconds)
        return next(str(each["reason"]) for each in _conditions(seen) if each["type"] == "Ready")

    def fetched(self, job: dict[str, Any]) -> tuple[JobRecord, Result]:
        """What the bus has of a job that ended: its record, and its pictures."""

        async def asked() -> tuple[JobRecord, Result]:
            async with connect(self._url(), self._token(), name="test", patience=30.0) as bus:
                job_id = job["status"]["jobId"]
                return await client.get_job(bus, job_id), await client.fetch_result(bus, job_id)

        return asyncio.run(asked())

    def wrong_in(self, job: dict[str, Any]) -> list[str]:
        """What is wrong in the job's pictures, by its prompt; empty where they are right."""
        scene, reasons = parse(job["spec"]["prompt"]), []
        for png in self.fetched(job)[1].images:
            with Image.open(io.BytesIO(png)) as opened:
                reasons += judge(np.asarray(opened.convert("RGB")), scene).reasons
        return reasons

    def _url(self) -> str:
        """The pod's own address: this machine has no way to those of Services."""
        pod = self.kubectl.get("pod", f"{RELEASE}-nats-0")
        return f"nats://{pod['status']['podIP']}:4222"

    def _token(self) -> str:
        secret = self.kubectl.get("secret", f"{RELEASE}-nats")
        return base64.b64decode(secret["data"]["token"]).decode()

    def _helm(self, *arguments: str) -> str:
        kubeconfig = self.ground.plane.kubeconfig
        return helm(*arguments, f"--namespace={NAMESPACE}", kubeconfig=kubeconfig, timeout=INSTALLING + 60)

    def _values(self) -> dict[str, Any]:
        built = images.of_rise()
        for image in built.values():
            self.ground.load(image)
        of = {part: {"image": {"repository": image.name, "tag": image.tag}} for part, image in built.items()}
        on_edge: dict[str, Any] = {"nodeSelector": {TIER: "edge"}}
        return {
            "image": {"registry": "localhost"},
            "operator": {**of["operator"], **on_edge},
            "scheduler": {**of["scheduler"], **on_edge},
            "stage": of["stage"],
            "nats": {
                "image": {"registry": "localhost", **of["nats"]["image"]},
                "persistence": {"enabled": False},
                **on_edge,
            },
        }


def _conditions(seen: dict[str, Any]) -> list[dict[str, Any]]:
    return list(seen.get("status", {}).get("conditions", ()))


def _is(seen: dict[str, Any], kind: str) -> bool:
    return any(each["type"] == kind and each["status"] == "True" for each in _conditions(seen))
