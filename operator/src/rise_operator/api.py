"""The Kubernetes API, in the few verbs that the operator needs. Objects are plain dictionaries, as on the wire.

The client of the `kubernetes` package does the connecting and the authentication; its model classes are left out: they
cost more memory than all that the operator keeps, and know nothing of custom resources.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import kopf
from kubernetes.aio import client, config
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import SERVICE_TOKEN_FILENAME

from rise_contracts.errors import InvalidInput, RiseError

Object = dict[str, Any]

FIELD_MANAGER: Final = "rise-operator"
REQUEST_S: Final = 30.0
PAGE: Final = 500
CONNECTIONS: Final = 32


class ApiError(RiseError):
    """The API server refused, or could not be asked (`status` 0). `reason` is its word for why."""

    exit_code = 7

    def __init__(self, doing: str, status: int, reason: str, text: str) -> None:
        self.doing, self.status, self.text = doing, status, text
        self.retriable = status in (0, 409, 429) or status >= 500
        self._reason = reason or "ApiUnavailable"
        super().__init__(f"{doing}: {text[:500]}" + (f" ({status} {reason})" if status else ""))

    @property
    def reason(self) -> str:
        return self._reason


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object: where the API keeps it."""

    version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        parts = ["apis" if "/" in self.version else "api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/".join(["", *parts, self.plural, *([name] if name else []), *([subresource] if subresource else [])])


RELAY_JOBS: Final = Kind("rise-relay.io/v1alpha1", "relayjobs")
STAGE_POOLS: Final = Kind("rise-relay.io/v1alpha1", "stagepools")
MODEL_FAMILIES: Final = Kind("rise-relay.io/v1alpha1", "modelfamilies", namespaced=False)
PODS: Final = Kind("v1", "pods")
DEPLOYMENTS: Final = Kind("apps/v1", "deployments")
EVENTS: Final = Kind("v1", "events")
LEASES: Final = Kind("coordination.k8s.io/v1", "leases")


class Api:
    """A connection to one API server. Every call ends within `limit_s` and raises ApiError where it fails."""

    def __init__(self, inner: client.ApiClient, *, limit_s: float = REQUEST_S) -> None:
        self._inner, self._limit_s = inner, limit_s
        self.writes = 0
        """Requests that changed something, or tried to."""

    def connection(self) -> kopf.ConnectionInfo:
        """The same connection for kopf, which has a client of its own."""
        settings = self._inner.configuration
        scheme, _, token = str(settings.api_key.get("BearerToken", "")).rpartition(" ")
        return kopf.ConnectionInfo(
            server=str(settings.host),
            ca_path=settings.ssl_ca_cert,
            insecure=not settings.verify_ssl,
            scheme=scheme or None,
            token=token or None,
            certificate_path=settings.cert_file,
            private_key_path=settings.key_file,
        )

    @property
    def host(self) -> str:
        return str(self._inner.configuration.host)

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """The object, or None where there is none."""
        try:
            return await self._call("GET", kind.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(
        self, kind: Kind, namespace: str | None = None, *, labels: str = "", page: int = PAGE
    ) -> AsyncIterator[Object]:
        """All objects, page by page, of one namespace or of all of them."""
        query = {"limit": str(page), **({"labelSelector": labels} if labels else {})}
        while True:
            found = await self._call("GET", kind.path(namespace), query)
            for item in found["items"]:
                yield item
            following = found["metadata"].get("continue")
            if not following:
                return
            query["continue"] = following

    async def create(self, kind: Kind, namespace: str | None, body: Object) -> Object:
        return await self._call("POST", kind.path(namespace), body=body)

    async def replace(self, kind: Kind, namespace: str | None, name: str, body: Object) -> Object:
        """Write the whole object over the revision that `body` names."""
        return await self._call("PUT", kind.path(namespace, name), body=body)

    async def apply(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        body: Object,
        *,
        manager: str = FIELD_MANAGER,
        force: bool = True,
    ) -> Object:
        """Server-side apply. Without `force` it is refused (409) where others have set fields to something else."""
        query = {"fieldManager": manager, "force": str(force).lower()}
        return await self._call("PATCH", kind.path(namespace, name), query, body, "application/apply-patch+yaml")

    async def merge(
        self, kind: Kind, namespace: str | None, name: str, body: Object, *, subresource: str = ""
    ) -> Object:
        """A JSON merge patch. With `metadata.resourceVersion` in `body` it is refused (409) where that is not the
        newest."""
        path = kind.path(namespace, name, subresource)
        return await self._call("PATCH", path, {"fieldManager": FIELD_MANAGER}, body, "application/merge-patch+json")

    async def delete(self, kind: Kind, namespace: str | None, name: str, *, uid: str = "") -> None:
        """Delete the object, if it is (still) there and, where `uid` is given, still the one that is meant."""
        body: Object = {"propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            await self._call("DELETE", kind.path(namespace, name), body=body)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        doing = f"{method.lower()} {path}"
        self.writes += method != "GET"
        url = self._inner.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Content-Type": content_type}
        try:
            await self._inner.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            async with asyncio.timeout(self._limit_s):
                response = await self._inner.rest_client.request(method, url, headers=headers, body=body)
                data = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            text = str(error) or type(error).__name__
            raise ApiError(doing, 0, "", f"the API server at {self.host} does not answer: {text}") from error
        if response.status >= 400:
            raise _refused(doing, int(response.status), data)
        found: Object = json.loads(data)
        return found


@contextlib.asynccontextmanager
async def connected(kubeconfig: str = "", context: str = "") -> AsyncIterator[Api]:
    """The API server that `kubeconfig` names, or else the cluster that this pod runs in, or else KUBECONFIG's.

    Raises InvalidInput where there is none of them.
    """
    settings = client.Configuration()
    settings.connection_pool_maxsize = CONNECTIONS
    try:
        if kubeconfig or not in_pod():
            await config.load_kube_config(kubeconfig or None, context or None, settings, persist_config=False)
        else:
            config.load_incluster_config(settings)
    except (ConfigException, OSError) as error:
        wanted = "a kubeconfig, or to run in a pod with a service account"
        raise InvalidInput("--kubeconfig", wanted, kubeconfig or "none", str(error)) from error
    async with client.ApiClient(settings) as inner:
        yield Api(inner)


def in_pod() -> bool:
    """Whether this process runs in a cluster, with a service account of its own."""
    return Path(SERVICE_TOKEN_FILENAME).exists()


def _refused(doing: str, status: int, body: bytes) -> ApiError:
    """An answer is a Status object, unless something between here and the API server gave it."""
    text = body.decode(errors="replace")
    with contextlib.suppress(ValueError, AttributeError):
        told = json.loads(text)
        return ApiError(doing, status, str(told.get("reason", "")), " ".join(str(told.get("message", text)).split()))
    return ApiError(doing, status, "", " ".join(text.split()))
