"""Who may ask a process over HTTP: this machine alone where no credential is wanted, else whoever brings one.

A credential is a bearer token: the one that the process was started with, or that of a Kubernetes service account that
it lists, made for it alone (`token_review`). Nothing here knows a web framework.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from rise_contracts.errors import RiseError
from rise_runtime import token_review


class Unauthorized(RiseError):
    """The request brings no token that is taken here. `name` is what the variables begin with."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"wanted the header Authorization: Bearer with the token of {name}_TOKEN, or with one of a service account "
            f"in {name}_ACCOUNTS, made for the audience {token_review.audience(name)}"
        )


class Forbidden(RiseError):
    """Without a credential to ask for, a request from elsewhere, or by a name that is not this machine's own: a page
    in a browser may be led here by one."""

    def __init__(self, name: str, host: str) -> None:
        super().__init__(f"wanted a request to localhost, got one to {host[:80]!r}; set {name}_TOKEN for other names")


class Reviews(Protocol):
    """Tells whether a token is that of an account that may ask. Raises RiseError where it cannot tell."""

    async def admits(self, token: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Guard:
    """What a request has to bring. `name` begins the variables that it was read from."""

    name: str = "RISE_HTTP"
    token: str | None = None
    reviews: Reviews | None = None

    @property
    def asks(self) -> bool:
        """Whether it wants a credential at all."""
        return self.token is not None or self.reviews is not None

    async def check(self, authorization: str, host: str) -> None:
        """Raise Unauthorized, or Forbidden where none is asked for and `host`, as the request names it, is not this
        machine; token_review.ReviewFailed where the API server does not say."""
        if not self.asks:
            if not is_loopback(host):
                raise Forbidden(self.name, host)
        elif not await self._admits(authorization):
            raise Unauthorized(self.name)

    async def _admits(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        given = given.strip()
        if scheme.lower() != "bearer" or not given:
            return False
        if self.token is not None and hmac.compare_digest(given.encode(), self.token.encode()):
            return True
        return self.reviews is not None and await self.reviews.admits(given)


OPEN = Guard()
"""Asks for nothing, and answers this machine alone."""


def read(name: str, environment: Mapping[str, str] = os.environ) -> Guard:
    """The guard that <name>_TOKEN and <name>_ACCOUNTS ask for. Raises InvalidInput for accounts that cannot be reviewed
    or are none."""
    accounts = token_review.read_accounts(f"{name}_ACCOUNTS", environment.get(f"{name}_ACCOUNTS", ""))
    reviews = None
    if accounts:
        server = token_review.api_server(f"{name}_ACCOUNTS", environment)
        reviews = token_review.TokenReviews(server, token_review.audience(name), accounts)
    return Guard(name, environment.get(f"{name}_TOKEN") or None, reviews)


def host_of(header: str) -> str:
    """The host in the header Host, without its port; empty where there is none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return header


def is_loopback(host: str) -> bool:
    """Whether `host` can be reached from this machine alone. A name other than localhost is not resolved, and counts
    as one that others reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
