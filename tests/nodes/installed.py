"""Rise on the nodes, as its chart installs it, and what a user does with it."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from rise_contracts.records import JobRecord
from rise_contracts.rights import Principal
from rise_runtime import client
from rise_runtime.access import Access
from rise_runtime.bus import connect
from rise_runtime.client import Result
from rise_shapes.grammar import parse
from rise_shapes.judge import judge
from tests.chart.charts import CHART, helm
from tests.kube import images
from tests.kube.kubectl import Kubectl
from tests.nodes.ground import TIER, Ground

API_VERSION = "rise-relay.io/v1alpha1"
PICTURE = "a small red circle above a large blue square"
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
            self.pool(pool, "Ready", INSTALLING)

    def uninstall(self) -> None:
        self._helm("uninstall", RELEASE, "--wait", "--ignore-not-found")

    def test(self) -> str:
        """helm test: a picture made from inside the cluster."""
        return self._helm("test", RELEASE, f"--timeout={INSTALLING:g}s")

    def draw(self, name: str, **spec: Any) -> None:
        """A RelayJob, applied."""
        whole = {"prompt": PICTURE, "seed": 7, **spec}
        metadata = {"name": name}
        self.kubectl.apply({"apiVersion": API_VERSION, "kind": "RelayJob", "metadata": metadata, "spec": whole})

    def waiting(self, name: str, seconds: float = 60.0) -> str:
        """The reason why it is not scheduled, once it has one."""
        seen = self.kubectl.until("relayjob", name, lambda seen: _reason(seen, "Scheduled", "False"), seconds)
        return _reason(seen, "Scheduled", "False")

    def complete(self, name: str, seconds: float = 120.0) -> dict[str, Any]:
        """The job once it is; raises KubectlFailed or, with what is there, TookTooLong."""
        return self.kubectl.until("relayjob", name, lambda seen: _reason(seen, "Complete", "True"), seconds)

    def pool(self, name: str, reason: str, seconds: float = 180.0) -> None:
        """Wait until the pool is Ready, or is not, for this reason; raises TookTooLong with what it says instead."""
        status = "True" if reason == "Ready" else "False"
        self.kubectl.until("stagepool", name, lambda seen: _reason(seen, "Ready", status) == reason, seconds)

    def fetched(self, job: dict[str, Any]) -> tuple[JobRecord, Result]:
        """What the bus has of a job that ended: its record, and its pictures."""

        async def asked() -> tuple[JobRecord, Result]:
            inbox = Principal("user").inbox
            async with connect(self._url(), self._key(), name="test", inbox=inbox, patience=30.0) as bus:
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

    def _key(self) -> Access:
        """What opens NATS to a user, as a file."""
        secret = self.kubectl.get("secret", f"{RELEASE}-nats-user")
        handle, path = tempfile.mkstemp()
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64decode(secret["data"]["login"]))
        return Access(login=Path(path))

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
            "judge": on_edge,
            "nats": {
                "image": {"registry": "localhost", **of["nats"]["image"]},
                "persistence": {"enabled": False},
                # Its image cannot be made here, for its sources are no Go module that the proxy has.
                "reloader": {"enabled": False},
                **on_edge,
            },
        }


def _reason(seen: dict[str, Any], kind: str, status: str) -> str:
    """Of a condition with this status; empty where there is none."""
    conditions = seen.get("status", {}).get("conditions", ())
    return next((str(each["reason"]) for each in conditions if (each["type"], each["status"]) == (kind, status)), "")
