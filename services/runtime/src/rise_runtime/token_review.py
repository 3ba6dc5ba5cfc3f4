"""Whether a token is that of a Kubernetes service account on a list: the API server is asked (TokenReview).

A list, not a SubjectAccessReview: it needs one right less, says in the values who gets in, and nobody gets in by a role
that was given for something else (a wildcard over paths is common in monitoring). The token has to be made for the
audience that is asked for, so that one shown to Rise opens nothing else, and one of another service does not open Rise.
https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from rise_contracts.errors import InvalidInput, RiseError

FOLDER: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where a pod finds its own token and the API server's authority; RISE_SERVICE_ACCOUNT names another place."""
ADMITTED_S: Final = 30.0
"""Seconds for which a yes is remembered: so long a token that was taken back still opens."""
REFUSED_S: Final = 5.0
REMEMBERED: Final = 1024
LONGEST: Final = 8 * 1024
"""Characters of a token; those of service accounts have some 1,200."""
AT_ONCE: Final = 4
REVIEW_S: Final = 5.0
_ANSWER_LIMIT: Final = 256 * 1024
_ACCOUNT = re.compile(
    r"(?P<namespace>[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)/(?P<name>[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?)"
)


class ReviewFailed(RiseError):
    """The API server does not say whose a token is."""

    exit_code = 7
    retriable = True

    def __init__(self, url: str, why: str) -> None:
        self.url, self.why = url, why
        hint = "see that it runs, and that this pod's service account may create tokenreviews"
        super().__init__(f"no token review by {url}: {why[:200]}; {hint}")


@dataclass(frozen=True, slots=True)
class ApiServer:
    """The API server as a pod reaches it; `folder` has the files `token`, renewed under way, and `ca.crt`."""

    url: str
    folder: Path


def audience(name: str) -> str:
    """What a token for RISE_HTTP, or RISE_METRICS, is made for."""
    return name.lower().replace("_", "-")


def read_accounts(field: str, text: str) -> frozenset[str]:
    """User names of the accounts in "namespace/name,…". Raises InvalidInput, naming `field`."""
    found = [(_ACCOUNT.fullmatch(part), part) for part in text.split(",") if part]
    for match, part in found:
        if match is None:
            raise InvalidInput(field, "service accounts as namespace/name, with commas between them", part)
    return frozenset(f"system:serviceaccount:{match['namespace']}:{match['name']}" for match, _ in found if match)


def api_server(field: str, environment: Mapping[str, str]) -> ApiServer:
    """The one whose cluster this pod is in. Raises InvalidInput, naming `field`, outside of one."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
    folder = Path(environment.get("RISE_SERVICE_ACCOUNT") or FOLDER)
    missing = next((name for name in ("token", "ca.crt") if not (folder / name).is_file()), None)
    if not host or missing is not None:
        got = "no KUBERNETES_SERVICE_HOST" if not host else f"no {folder / str(missing)}"
        raise InvalidInput(field, "a pod with a service account's token", got, "mount it, or use a token alone")
    return ApiServer(f"https://{f'[{host}]' if ':' in host else host}:{port}", folder)


class TokenReviews:
    """Asks, and remembers the answer for a while."""

    def __init__(
        self,
        server: ApiServer,
        audience: str,
        accounts: frozenset[str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server, self._audience, self._accounts, self._clock = server, audience, accounts, clock
        self._seats = asyncio.Semaphore(AT_ONCE)
        self._seen: dict[bytes, tuple[bool, float]] = {}

    async def admits(self, token: str) -> bool:
        """Whether it is that of an account on the list, for this audience. Raises ReviewFailed."""
        if len(token) > LONGEST or not token.isascii():
            return False
        key = hashlib.sha256(token.encode()).digest()
        known = self._remembered(key)
        if known is None:
            async with self._seats:
                known = self._remembered(key)  # another request with the same token may have asked meanwhile
                if known is None:
                    known = self._is_ours(await asyncio.to_thread(self._reviewed, token))
                    self._remember(key, known)
        return known

    def _remembered(self, key: bytes) -> bool | None:
        verdict, until = self._seen.get(key, (False, 0.0))
        return verdict if self._clock() < until else None

    def _remember(self, key: bytes, verdict: bool) -> None:
        self._seen.pop(key, None)
        while len(self._seen) >= REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = verdict, self._clock() + (ADMITTED_S if verdict else REFUSED_S)

    def _is_ours(self, status: Mapping[str, Any]) -> bool:
        # A server that knows nothing of audiences names none, and has checked none.
        made_for_us = self._audience in (status.get("audiences") or ())
        who = (status.get("user") or {}).get("username")
        return status.get("authenticated") is True and made_for_us and who in self._accounts

    def _reviewed(self, token: str) -> Mapping[str, Any]:
        """The status of a TokenReview. Blocks."""
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }
        try:
            own = (self._server.folder / "token").read_text(encoding="ascii").strip()
            request = urllib.request.Request(
                f"{self._server.url}/apis/authentication.k8s.io/v1/tokenreviews",
                json.dumps(asked).encode(),
                {"Authorization": f"Bearer {own}", "Content-Type": "application/json"},
            )
            trusting = ssl.create_default_context(cafile=str(self._server.folder / "ca.crt"))
            https = urllib.request.HTTPSHandler(context=trusting)
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), https)
            with opener.open(request, timeout=REVIEW_S) as answer:
                status = json.loads(answer.read(_ANSWER_LIMIT)).get("status")
        except urllib.error.HTTPError as error:
            raise ReviewFailed(self._server.url, f"{error.code} {error.reason}") from error
        except (OSError, HTTPException, ValueError) as error:
            raise ReviewFailed(self._server.url, f"{type(error).__name__}: {error}") from error
        return status if isinstance(status, dict) else {}
