"""The few calls a node makes to the API server, over one aiohttp session: JSON in, JSON out."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import yaml

Json = dict[str, Any]

MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
ANSWER_WITHIN = 10.0
"""Seconds for one answer; a server that hangs is asked again by whoever asked."""
WATCH_FOR = 60
"""Seconds after which the server ends a watch, and it is begun anew."""
LONGEST_LINE = 4 * 1024 * 1024
"""Bytes of one watch event: an object is at most 1.5 MiB in etcd."""


class Refused(Exception):
    """The server answered with an error; `.status` is its HTTP code."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(f"{status}: {text[:500]}")


Unreachable = (aiohttp.ClientError, TimeoutError, OSError)
"""What a call raises where no answer came; everything may be asked again."""


class Api:
    """An open connection as the user of a kubeconfig's current context (client certificate or token)."""

    def __init__(self, kubeconfig: Path) -> None:
        cluster, user = _current(yaml.safe_load(kubeconfig.read_text()))
        self._url = str(cluster["server"])
        authority = cluster.get("certificate-authority-data")  # none before a proxy that speaks plainly
        self._tls = ssl.create_default_context(cadata=_decoded(authority) if authority else None)
        if "client-certificate-data" in user:
            with tempfile.NamedTemporaryFile("w") as pem:  # the ssl module reads client certificates from files alone
                pem.write(_decoded(user["client-certificate-data"]) + _decoded(user["client-key-data"]))
                pem.flush()
                self._tls.load_cert_chain(pem.name)
        self._headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}

    async def __aenter__(self) -> Api:
        self._session = aiohttp.ClientSession(
            self._url,
            connector=aiohttp.TCPConnector(ssl=self._tls),
            headers=self._headers,
            read_bufsize=LONGEST_LINE,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def call(self, method: str, path: str, body: Json | None = None, kind: str = "application/json") -> Json:
        """One request; raises Refused, or one of Unreachable."""
        headers = {"Content-Type": kind}
        data = None if body is None else json.dumps(body)
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN)
        async with self._session.request(method, path, data=data, headers=headers, timeout=timeout) as answer:
            if answer.status >= 400:
                raise Refused(answer.status, await answer.text())
            found = await answer.json()
        assert isinstance(found, dict)
        return found

    async def watch(self, path: str, version: str) -> AsyncIterator[tuple[str, Json]]:
        """(ADDED, MODIFIED or DELETED, object) from a version on; ends when the server ends it or asks to list anew."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=ANSWER_WITHIN, sock_read=WATCH_FOR + ANSWER_WITHIN)
        asked = f"{path}&watch=true&resourceVersion={version}&timeoutSeconds={WATCH_FOR}"
        async with self._session.get(asked, timeout=timeout) as answer:
            if answer.status >= 400:
                raise Refused(answer.status, await answer.text())
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["type"], event["object"]


def _current(config: Json) -> tuple[Json, Json]:
    """The cluster and the user of the current context."""
    (context,) = (each["context"] for each in config["contexts"] if each["name"] == config["current-context"])
    (cluster,) = (each["cluster"] for each in config["clusters"] if each["name"] == context["cluster"])
    (user,) = (each["user"] for each in config["users"] if each["name"] == context["user"])
    return cluster, user


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()
