"""The environment of a container: the image's, the pod's with what it refers to, and what the test insists on."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.kube.api import Api, Json, Refused, Unreachable
from tests.kube.pod_status import expand, from_field

KINDS = {
    "configMapKeyRef": "configmaps",
    "secretKeyRef": "secrets",
    "configMapRef": "configmaps",
    "secretRef": "secrets",
}


class CannotStart(Exception):
    """A container must wait; `.reason` is the one a kubelet gives."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


async def environment(
    api: Api, pod: Json, node: str, spec: Json, home: Path, insisted: Mapping[str, str]
) -> dict[str, str]:
    """What the process gets and nothing else; raises CannotStart where something referred to is missing."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    env = {"PATH": path, "HOME": str(home), "HOSTNAME": pod["metadata"]["name"], "LANG": "C.UTF-8"}
    for source in spec.get("envFrom", ()):
        ((kind, named),) = ((kind, source[kind]) for kind in ("configMapRef", "secretRef") if kind in source)
        found = await _data(api, pod, kind, named)
        env |= {source.get("prefix", "") + key: text for key, text in found.items()}
    for entry in spec.get("env", ()):
        value = await _value(api, pod, node, entry, env)
        if value is not None:
            env[entry["name"]] = value
    return {**env, **insisted}


async def mounted(api: Api, pod: Json, spec: Json, home: Path) -> dict[str, Path]:
    """Where the files of the Secrets and ConfigMaps are that the container mounts, by the path where it looks for them.
    A volume that holds anything else, such as a token of the API server's, is left out."""
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", ())}
    found: dict[str, Path] = {}
    for mount in spec.get("volumeMounts", ()):
        volume = volumes[mount["name"]]
        sources = volume.get("projected", {}).get("sources", ())
        if not sources or any(source.keys() - {"secret", "configMap"} for source in sources):
            continue
        folder = found[mount["mountPath"]] = home / mount["name"]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for source in sources:
            ((kind, named),) = source.items()
            held = await _files(api, pod, f"{kind}Ref", named)
            wanted = {item["key"]: item["path"] for item in named.get("items", ())} or {key: key for key in held}
            for key, path in wanted.items():
                if key in held:
                    file = folder / path
                    file.touch(mode=0o600)
                    file.write_bytes(held[key])
    return found


async def _value(api: Api, pod: Json, node: str, entry: Json, env: Mapping[str, str]) -> str | None:
    """None where an optional key is missing."""
    if "valueFrom" not in entry:
        return expand(entry.get("value", ""), env)
    ((kind, named),) = entry["valueFrom"].items()
    if kind == "fieldRef":
        try:
            return from_field(named["fieldPath"], pod, node)
        except KeyError:
            raise _wrong(f"{entry['name']}: field {named['fieldPath']!r} is not known here") from None
    if kind not in KINDS:
        raise _wrong(f"{entry['name']}: {kind} is not known here")
    found = await _data(api, pod, kind, named)
    if named["key"] not in found and not named.get("optional"):
        raise _wrong(f"couldn't find key {named['key']} in {KINDS[kind]} {named['name']}")
    return found.get(named["key"])


async def _data(api: Api, pod: Json, kind: str, named: Json) -> dict[str, str]:
    """The texts of a ConfigMap or Secret; empty where it is optional and missing."""
    return {key: data.decode() for key, data in _texts(kind, await _held(api, pod, kind, named)).items()}


async def _files(api: Api, pod: Json, kind: str, named: Json) -> dict[str, bytes]:
    """What a volume of a ConfigMap or Secret holds, those of its keys that are no texts, too."""
    held = await _held(api, pod, kind, named)
    return _texts(kind, held) | {key: base64.b64decode(text) for key, text in held.get("binaryData", {}).items()}


def _texts(kind: str, held: Json) -> dict[str, bytes]:
    """Those of a Secret are in base64."""
    encoded = KINDS[kind] == "secrets"
    return {key: base64.b64decode(text) if encoded else text.encode() for key, text in held.get("data", {}).items()}


async def _held(api: Api, pod: Json, kind: str, named: Json) -> Json:
    """The object itself; empty where it is optional and missing."""
    try:
        return await api.call("GET", f"/api/v1/namespaces/{pod['metadata']['namespace']}/{KINDS[kind]}/{named['name']}")
    except Refused as error:
        if error.status == 404 and named.get("optional"):
            return {}
        raise _wrong(str(error)) from error
    except Unreachable as error:
        raise _wrong(repr(error)) from error


def _wrong(message: str) -> CannotStart:
    return CannotStart("CreateContainerConfigError", message)
