"""The life of one pod whose containers are processes: start, probe, restart, end, and say so.

Of volumes there are projected Secrets and ConfigMaps alone: a variable that names where one is mounted names the pod's
own folder.
Left out, for nothing of Rise asks it of a test: init containers, other volumes, preStop hooks, TCP and gRPC probes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from rise_cli.local import guard
from rise_cli.local.processes import MODE, Child, Program
from tests.kube import pod_status
from tests.kube.api import STRATEGIC, Api, Json, Refused, Unreachable
from tests.kube.children import free_ports
from tests.kube.container_env import CannotStart, environment, mounted
from tests.kube.pod_status import PORT, Container, Image

AGAIN = 0.5
"""Seconds before a call that got no answer is made again."""
GONE = (404, 409)
"""Answers that say that the pod of this uid is no more."""


class Pod:
    """One pod on this node, from when it is first seen until it is removed.

    `seen` takes each newer version of the object. `task` ends when nothing is left to do.
    """

    def __init__(self, api: Api, node: str, pod: Json, images: Mapping[str, Image], folder: Path, pause: float) -> None:
        self._api, self._node, self._images, self._pause = api, node, images, pause
        self._object, self._spec = pod, pod["spec"]
        meta = pod["metadata"]
        self._path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        self._folder = folder / meta["namespace"] / meta["name"]
        self._policy = self._spec.get("restartPolicy", "Always")
        self._containers = [pod_status.first(spec, pod) for spec in self._spec["containers"]]
        self._stopping, self._changed = asyncio.Event(), asyncio.Event()
        self._grace = 0.0
        self.task = asyncio.create_task(self._live())
        self.seen(pod)

    @property
    def uid(self) -> str:
        return str(self._object["metadata"]["uid"])

    def seen(self, pod: Json) -> None:
        """A newer version: its end matters, and what others wrote over its status; containers do not change."""
        self._object = pod
        # While a node is silent, a controller says of its pods that they are not ready.
        if pod_status.differs(self._containers, pod):
            self._changed.set()
        if "deletionTimestamp" in pod["metadata"] and not self._stopping.is_set():
            self._grace = float(pod["metadata"].get("deletionGracePeriodSeconds", 30))
            self._stopping.set()

    def removed(self) -> None:
        """The object is gone, and nobody waits for an answer: everything ends at once."""
        self._grace = 0.0
        self._stopping.set()

    async def _live(self) -> None:
        if self._object.get("status", {}).get("phase") not in {"Succeeded", "Failed"}:
            (self._folder / "work").mkdir(parents=True, exist_ok=True)
            async with _beside(self._tell()):
                await asyncio.gather(*map(self._keep, self._spec["containers"], self._containers))
            await self._patch_status()
        await self._stopping.wait()
        await self._insist("DELETE", self._path, {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}})

    async def _keep(self, spec: Json, container: Container) -> None:
        """Start a container, and again as the restart policy says, until the pod is to end."""
        refused = 0
        while not self._stopping.is_set():
            if "terminated" not in container.state:
                try:
                    await self._run(spec, container)
                except CannotStart as error:
                    refused += 1
                    again = refused > 1 and error.reason == "ErrImagePull"
                    reason = "ImagePullBackOff" if again else error.reason
                    self._say(container, {"waiting": {"reason": reason, "message": str(error)}})
                    await self._stop_within(self._pause)
                    continue
            code = container.state["terminated"]["exitCode"]
            if self._stopping.is_set() or not pod_status.restarts(self._policy, code):
                return
            pause = pod_status.pause_before_restart(container.restarts, self._pause)
            container.last = container.state
            message = f"back-off {pause:g}s restarting failed container={container.name}"
            self._say(container, {"waiting": {"reason": "CrashLoopBackOff", "message": message}})
            await self._stop_within(pause)
            container.restarts += 1

    async def _run(self, spec: Json, container: Container) -> None:
        """One process from start to its terminated state, with its probes; raises CannotStart."""
        image = pod_status.find_image(self._images, container.image)
        if image is None:
            raise CannotStart("ErrImagePull", f"no process stands for image {container.image!r} on {self._node}")
        (port,) = free_ports(1)
        filled = {name: text.replace(PORT, str(port)) for name, text in image.env.items()}
        env = await environment(self._api, self._object, self._node, spec, self._folder / "work", filled)
        log = self._folder / f"{container.name}.{container.restarts}.log"
        # What a kubelet mounts there is a file of the pod's own; here the path is the machine's.
        word, path = log.with_suffix(".word"), spec.get("terminationMessagePath", pod_status.LAST_WORD)
        there = {path: word, **await mounted(self._api, self._object, spec, self._folder / "mounts")}
        env = {name: str(there.get(text, text)) for name, text in env.items()}
        child = await self._start(container.name, pod_status.command_line(image, spec, env), env, log)
        began, sick = pod_status.now(), asyncio.Event()
        self._say(container, {"running": {"startedAt": began}})
        probed = None if filled == dict(image.env) else port
        async with _beside(self._probe(spec, container, env, probed, sick)):
            await _first_of(child.wait(), self._stopping.wait(), sick.wait())
        grace = self._grace if self._stopping.is_set() else float(self._spec["terminationGracePeriodSeconds"])
        await child.stop(grace)
        container.ready = container.started = False
        policy = spec.get("terminationMessagePolicy", "File")
        said = word.read_bytes() if word.exists() else b""
        now, output = pod_status.now(), log.read_bytes()
        self._say(container, pod_status.ended(await child.wait(), began, now, output, policy, said))

    async def _start(self, name: str, command: list[str], env: Mapping[str, str], log: Path) -> Child:
        """Only what the pod says reaches the process: a test must not pass thanks to its own environment."""
        reading, writing = os.pipe()
        own = (sys.executable, "-I", "-S", guard.__file__, MODE, str(os.getpid()), str(reading), "--")
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *own,
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                cwd=self._folder / "work",
                pass_fds=(reading,),
                start_new_session=True,
            )
        os.close(reading)
        return Child(Program(name, tuple(command), log), process, writing)

    async def _probe(
        self, spec: Json, container: Container, env: Mapping[str, str], port: int | None, sick: asyncio.Event
    ) -> None:
        """Keep `started` and `ready` as the probes say; `sick` once the container has to be killed."""

        def verdicts(kind: str) -> AsyncIterator[bool]:
            return _verdicts(spec[kind], spec, env, port)

        async def follow_readiness() -> None:
            async for container.ready in verdicts("readinessProbe"):
                self._changed.set()

        if "startupProbe" in spec and not await anext(verdicts("startupProbe")):
            sick.set()
            return
        container.started = True
        container.ready = "readinessProbe" not in spec
        self._changed.set()
        async with _beside(follow_readiness() if "readinessProbe" in spec else asyncio.sleep(0)):
            if "livenessProbe" in spec:
                async for healthy in verdicts("livenessProbe"):
                    if not healthy:
                        sick.set()
            await asyncio.Event().wait()

    def _say(self, container: Container, state: Json) -> None:
        container.state = state
        self._changed.set()

    async def _stop_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _tell(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._patch_status()

    async def _patch_status(self) -> None:
        said = pod_status.status(self._containers, self._object, pod_status.now())
        # With the uid, so that a namesake made meanwhile is refused and not overwritten.
        answer = await self._insist("PATCH", f"{self._path}/status", {"metadata": {"uid": self.uid}, "status": said})
        if answer is not None:
            self._object = {**self._object, "status": answer["status"]}

    async def _insist(self, method: str, path: str, body: Json) -> Json | None:
        """The answer, however often it takes; None where the pod is gone."""
        while True:
            try:
                return await self._api.call(method, path, body, STRATEGIC if method == "PATCH" else "application/json")
            except Refused as error:
                if error.status in GONE:
                    return None
                print(f"{method} {path}: {error}", file=sys.stderr, flush=True)
            except Unreachable as error:
                print(f"{method} {path}: {error!r}", file=sys.stderr, flush=True)
            await asyncio.sleep(AGAIN)


async def _verdicts(probe: Json, spec: Json, env: Mapping[str, str], port: int | None) -> AsyncIterator[bool]:
    """What a probe finds, once its thresholds are reached."""
    good = bad = 0
    await asyncio.sleep(probe.get("initialDelaySeconds", 0))
    while True:
        passed = await _passes(probe, spec, env, port)
        good, bad = (good + 1, 0) if passed else (0, bad + 1)
        if good >= probe.get("successThreshold", 1):
            yield True
        elif bad >= probe.get("failureThreshold", 3):
            yield False
        await asyncio.sleep(probe.get("periodSeconds", 10))


async def _passes(probe: Json, spec: Json, env: Mapping[str, str], port: int | None) -> bool:
    try:
        async with asyncio.timeout(probe.get("timeoutSeconds", 1)):
            if "exec" in probe:
                return await _exits_well(probe["exec"]["command"], env)
            url = pod_status.probe_url(probe["httpGet"], spec, port)
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return 200 <= answer.status < 400
    except Unreachable:
        return False


async def _exits_well(command: list[str], env: Mapping[str, str]) -> bool:
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=quiet, stderr=quiet)
    try:
        return await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    """While the body runs; an error of the work comes out at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _first_of(*works: Coroutine[Any, Any, object]) -> None:
    """Until one of them is done; the others are given up."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
