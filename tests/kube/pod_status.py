"""What a kubelet says of a pod and gives to its containers, as pure functions of what is known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.kube.api import Json

PORT = "{port}"
LONGEST_MESSAGE = 2048
"""Bytes of output that a kubelet takes as the termination message under FallbackToLogsOnError."""
LONGEST_WORD = 4096
"""Bytes that it takes of the file at `terminationMessagePath`."""
LAST_WORD = "/dev/termination-log"
"""Where that file is, unless the container says otherwise."""
LONGEST_PAUSE = 300.0
"""Seconds between two restarts, at most."""


@dataclass(frozen=True)
class Image:
    """What stands for an image: its entry point here, and environment that wins over the pod's.

    `{port}` in a value becomes a free loopback port, and the HTTP probes of the container go there: pods share the
    machine's ports.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Container:
    """One container so far; `state` and `last` are as in containerStatuses."""

    name: str
    image: str
    state: Json = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last: Json = field(default_factory=dict)
    restarts: int = 0
    started: bool = False
    ready: bool = False


def first(spec: Json, pod: Json) -> Container:
    """A container as its pod is first seen; one that ran before went with the node's earlier life."""
    container = Container(spec["name"], spec["image"])
    for earlier in pod.get("status", {}).get("containerStatuses", ()):
        if earlier["name"] == container.name and "waiting" not in earlier["state"]:
            lost = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}
            container.state = earlier["state"] if "terminated" in earlier["state"] else lost
            container.restarts = earlier["restartCount"]
    return container


def find_image(images: Mapping[str, Image], name: str) -> Image | None:
    """By the whole name, else without tag and digest."""
    bare = re.sub(r"(:[\w.-]+)?(@sha256:\w+)?$", "", name)
    return images.get(name) or images.get(bare)


def command_line(image: Image, container: Json, env: Mapping[str, str]) -> list[str]:
    """`command` takes the place of the image's entry point, `args` follow; $(NAME) is filled in."""
    argv = [*container.get("command", image.argv), *container.get("args", ())]
    return [expand(each, env) for each in argv]


def expand(text: str, env: Mapping[str, str]) -> str:
    """$(NAME) becomes the variable's value, $$(NAME) stays $(NAME), and so does a name nobody knows."""

    def value(found: re.Match[str]) -> str:
        if found[0].startswith("$$"):
            return found[0][1:]
        return env.get(found[1], found[0])

    return re.sub(r"\$?\$\(([\w.-]+)\)", value, text)


def from_field(path: str, pod: Json, node: str) -> str:
    """What the downward API says, for the fields that Rise asks for; raises KeyError for others."""
    meta = pod["metadata"]
    labelled = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if labelled:
        return str(meta.get(labelled[1], {}).get(labelled[2], ""))
    known: dict[str, str] = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": node,
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
        "status.podIP": "127.0.0.1",
        "status.hostIP": "127.0.0.1",
    }
    return known[path]


def probe_url(http: Json, spec: Json, port: int | None) -> str:
    """Where an httpGet probe asks: at `port` where there is one, else at its own, which may be a port's name."""
    own = http["port"]
    if isinstance(own, str):
        (own,) = (each["containerPort"] for each in spec.get("ports", ()) if each.get("name") == own)
    return f"{http.get('scheme', 'HTTP').lower()}://127.0.0.1:{port or own}{http.get('path', '/')}"


def restarts(policy: str, exit_code: int) -> bool:
    """Whether a container that ended begins again."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def pause_before_restart(restarts: int, first: float) -> float:
    """Seconds: none before the first restart, then `first`, twice that, and so on, five minutes at most."""
    return 0.0 if restarts == 0 else min(first * 2 ** (restarts - 1), LONGEST_PAUSE)


def ended(code: int, began: str, now: str, output: bytes, policy: str, word: bytes = b"") -> Json:
    """The terminated state for a process's return code, negative where a signal ended it; `word` is what it left in
    its file of last words."""
    exit_code = code if code >= 0 else 128 - code
    state: Json = {
        "exitCode": exit_code,
        "reason": "Completed" if exit_code == 0 else "Error",
        "startedAt": began,
        "finishedAt": now,
    }
    if word:
        state["message"] = word[:LONGEST_WORD].decode(errors="replace")
    elif policy == "FallbackToLogsOnError" and exit_code != 0 and output:
        state["message"] = output[-LONGEST_MESSAGE:].decode(errors="replace")
    return {"terminated": state}


def phase(containers: Sequence[Container], policy: str) -> str:
    """Pending until all have begun once, Running while one runs or will again, then how it went."""
    codes = [each.state["terminated"]["exitCode"] for each in containers if "terminated" in each.state]
    if any("waiting" in each.state and not each.last for each in containers):
        return "Pending"
    if len(codes) < len(containers) or any(restarts(policy, code) for code in codes):
        return "Running"
    return "Succeeded" if not any(codes) else "Failed"


def status(containers: Sequence[Container], pod: Json, now: str) -> Json:
    """A pod's status as a kubelet would patch it; `pod` is as last seen, with its earlier conditions."""
    over = phase(containers, pod["spec"].get("restartPolicy", "Always"))
    unready = [each.name for each in containers if not each.ready]
    why: Json = {}
    if over in {"Succeeded", "Failed"}:
        why = {"reason": "PodCompleted" if over == "Succeeded" else "PodFailed"}
    elif unready:
        why = {"reason": "ContainersNotReady", "message": f"containers with unready status: [{' '.join(unready)}]"}
    ready: Json = {"status": "False" if why else "True", **why}
    wanted: dict[str, Json] = {
        "PodScheduled": {"status": "True"},
        "Initialized": {"status": "True"},
        "ContainersReady": ready,
        "Ready": ready,
    }
    earlier = {each["type"]: each for each in pod.get("status", {}).get("conditions", ())}
    return {
        "phase": over,
        "hostIP": "127.0.0.1",
        "podIP": "127.0.0.1",
        "podIPs": [{"ip": "127.0.0.1"}],
        "startTime": pod.get("status", {}).get("startTime", now),
        "conditions": [_condition(kind, said, earlier.get(kind, {}), now) for kind, said in wanted.items()],
        "containerStatuses": [_container(each) for each in containers],
    }


def differs(containers: Sequence[Container], pod: Json) -> bool:
    """Whether the pod's conditions say something else than its node would."""
    wanted = {each["type"]: each["status"] for each in status(containers, pod, "")["conditions"]}
    found = {each["type"]: each["status"] for each in pod.get("status", {}).get("conditions", ())}
    return any(found.get(kind) != said for kind, said in wanted.items())


def _condition(kind: str, said: Json, earlier: Json, now: str) -> Json:
    since = earlier.get("lastTransitionTime", now) if earlier.get("status") == said["status"] else now
    # Null takes away what an earlier patch said: a strategic merge keeps what it is not told of.
    return {"type": kind, "reason": None, "message": None, **said, "lastTransitionTime": since}


def _container(container: Container) -> Json:
    return {
        "name": container.name,
        "image": container.image,
        "imageID": container.image,
        "state": container.state,
        "lastState": container.last,
        "ready": container.ready,
        "started": container.started,
        "restartCount": container.restarts,
    }


def now() -> str:
    """The time as Kubernetes writes it, in whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
