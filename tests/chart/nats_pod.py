"""The pod of NATS as a process of this machine: its arguments, environment and volumes as the chart has them, in a
folder, as a kubelet would have them. Only where it listens is the test's own.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from rise_contracts.rights import Principal
from rise_runtime.access import Access
from rise_runtime.bus import Bus, connect
from tests.chart.charts import Object, Rendered
from tests.kube.children import Child, free_ports
from tests.kube.pod_status import expand
from tests.servers import find_nats_server

Secrets = Mapping[str, Mapping[str, str]]


def held(rendered: Rendered, secret: str) -> dict[str, str]:
    """What a Secret of the chart holds."""
    return {key: base64.b64decode(text).decode() for key, text in rendered.one("Secret", secret)["data"].items()}


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
    return path


@contextlib.asynccontextmanager
async def entered(rendered: Rendered, folder: Path, url: str, who: Principal) -> AsyncIterator[Bus]:
    """The connection of a pod that has the Secret of its role mounted, and no other."""
    for name, text in held(rendered, f"rise-nats-{who.role}").items():
        written(folder / who.role / name, text)
    known_by = Access(login=folder / who.role / "login")
    async with connect(url, known_by, inbox=who.inbox, patience=30.0) as bus:
        yield bus


class NatsPod:
    """`brought` are Secrets of the user, by name. `start` again keeps the volumes; Secrets and values may be others."""

    def __init__(self, folder: Path, brought: Secrets) -> None:
        self._folder, self._brought = folder, dict(brought)
        self._versions = itertools.count()
        self._port, self._monitor = free_ports(2)
        self._processes: list[Child] = []
        self._scheme = "nats"

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._port}"

    @property
    def store(self) -> Path:
        """Where JetStream keeps its files."""
        return self._folder / "data"

    def bring(self, name: str, secret: Mapping[str, str]) -> None:
        """Have a Secret there that the rendering has not, or has otherwise."""
        self._brought[name] = secret

    def start(self, rendered: Rendered, reloader: str = "") -> str:
        """Run the server, and the reloader where there is a binary of it; the server's URL."""
        self.mount(rendered)
        self._scheme = "tls" if (self._folder / "tls").exists() else "nats"
        containers = {each["name"]: each for each in rendered.pod("StatefulSet/rise-nats").spec["containers"]}
        server, own = find_nats_server(), ["--addr", "127.0.0.1", "--port", str(self._port)]
        assert server is not None
        self._run(rendered, containers["nats"], server, *own, "--http_port", str(self._monitor))
        if reloader:
            self._run(rendered, containers["reloader"], reloader)
        return self.url

    def mount(self, rendered: Rendered) -> None:
        """Bring the volumes to what they hold by now."""
        pod = rendered.pod("StatefulSet/rise-nats")
        self._mounts = {each["mountPath"]: self._folder / each["name"] for each in pod.main()["volumeMounts"]}
        for path in self._mounts.values():
            path.mkdir(mode=0o700, exist_ok=True)
        for volume in pod.spec["volumes"]:
            files = self._files(rendered, volume)
            if files:
                self._swap(self._folder / volume["name"], files)

    def reload(self) -> None:
        """What the reloader does when a file has changed."""
        (pid,) = self._folder.glob("**/nats.pid")
        os.kill(int(pid.read_text()), signal.SIGHUP)

    def asks(self, path: str) -> tuple[int, str]:
        """What the server says of itself; 0 where it does not."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._monitor}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def until(self, path: str, status: int, word: str) -> None:
        """Until the server answers that."""

        def said() -> bool:
            answer = self.asks(path)
            return answer[0] == status and word in answer[1]

        self._processes[0].wait_until(said, 30, f"answer {path} with {status} and {word!r}")

    def until_logged(self, name: str, word: str) -> None:
        """Until a container has said that."""
        (process,) = [each for each in self._processes if each.name == name]
        process.wait_until(lambda: word in process.tail(1000), 30, f"say {word!r}")

    def stop(self) -> None:
        """With the grace that a kubelet gives; everything it holds is on the disk then."""
        for process in self._processes:
            process.terminate(30)
        self._processes.clear()

    def _run(self, rendered: Rendered, container: Object, binary: str, *more: str) -> None:
        environment = dict(os.environ)
        for item in container.get("env", ()):
            source = item.get("valueFrom", {}).get("secretKeyRef")
            value = self._secret(rendered, source["name"])[source["key"]] if source else item["value"]
            environment[item["name"]] = value if source else expand(value, environment)
        command = [binary, *(self._here(each) for each in container["args"]), *more]
        process = Child(container["name"], command, self._folder / f"{container['name']}.log", environment)
        process.start()
        self._processes.append(process)

    def _files(self, rendered: Rendered, volume: Object) -> dict[str, str]:
        files: dict[str, str] = {}
        for source in volume.get("projected", {}).get("sources", [volume]):
            if "configMap" in source:
                data = rendered.one("ConfigMap", source["configMap"]["name"])["data"]
                files |= {name: self._here(text) for name, text in data.items()}
            elif "secret" in source:
                files |= self._secret(rendered, source["secret"].get("name") or source["secret"]["secretName"])
        return files

    def _secret(self, rendered: Rendered, name: str) -> Mapping[str, str]:
        return self._brought[name] if name in self._brought else held(rendered, name)

    def _here(self, text: str) -> str:
        """With the folders of the volumes in the place of where a container has them."""
        paths = "|".join(sorted(self._mounts, key=len, reverse=True))
        return re.sub(rf"(?<!\S)({paths})(?![\w-])", lambda found: str(self._mounts[found[1]]), text)

    def _swap(self, folder: Path, files: Mapping[str, str]) -> None:
        """All at once and by links, as a kubelet does: what watches a file sees it go."""
        data, version = folder / "..data", folder / f"..{next(self._versions)}"
        old = data.resolve() if data.exists() else None
        if old is not None and {path.name: path.read_text() for path in old.iterdir()} == files:
            return
        for name, text in files.items():
            written(version / name, text)
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(Path("..data") / name)
        aside = folder / "..data_tmp"
        aside.symlink_to(version.name)
        aside.replace(data)
        if old is not None:
            for path in old.iterdir():
                path.unlink()
            old.rmdir()
