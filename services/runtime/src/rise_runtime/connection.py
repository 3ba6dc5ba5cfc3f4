"""nats-py's client as Rise needs it: with an identity from files, TLS that is not given up, and no end but our own."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import nats.errors
from nats.aio.client import Client

from rise_contracts import errors
from rise_runtime.access import Access

T = TypeVar("T")


class Unusable(nats.errors.Error):
    """What the client shall identify itself with cannot be read. nats-py tries again after errors of its own alone."""


class Connection(Client):
    """nats-py's client, with what it shows the server read anew at each connection.

    Two things are set right: a server that ends a connection with an error, as it does when a JWT has run out, is
    connected to again instead of given up for good; and where TLS is wanted no word is said without it, whatever the
    server offers.
    """

    def __init__(self, access: Access, *, tls: bool) -> None:
        super().__init__()
        self._access, self._wants_tls = access, tls

    @property
    def ssl_context(self) -> ssl.SSLContext:
        return _read(self._access.tls)

    def identity(self) -> dict[str, Any]:
        """The options of `connect` that say who this is."""
        access = self._access
        if access.nkey is not None:
            return {"signature_cb": self._sign}
        if access.creds is not None:
            return {"signature_cb": self._sign, "user_jwt_cb": lambda: _read(access.read_jwt).encode()}
        if access.login is not None:
            return {
                "user": lambda: _read(access.read_login)[0],
                "password": lambda: _read(access.read_login)[1],
            }
        return {"token": lambda: _read(access.read_token)} if access.token is not None else {}

    def _sign(self, nonce: str) -> bytes:
        # nats-py asks for the public key once, when it is made; here it comes with each signature.
        self._public_nkey, signed = _read(lambda: self._access.sign(nonce.encode()))
        return signed

    async def _select_next_server(self) -> None:
        left: Any = self._transport
        if left is not None:
            left.close()  # of a try that failed nats-py forgets the socket, open as it is
        await super()._select_next_server()

    async def _process_err(self, err_msg: str) -> None:
        if "permissions violation" in err_msg:
            await super()._process_err(err_msg)
        else:
            await self._process_op_err(nats.errors.Error(f"nats: {err_msg}"))

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self._wants_tls and not info.get("tls_required"):
            raise Unusable("wanted TLS, got a server that does not speak it")
        await super()._process_info(info, initial_connection)


def _read(read: Callable[[], T]) -> T:
    try:
        return read()
    except errors.InvalidInput as error:
        raise Unusable(str(error)) from error


def refused(shown: str, access: Access, problem: BaseException | None) -> errors.BusUnavailable:
    """What went wrong, in words that say what to do. Only a server that is not there is worth a second try."""
    text = str(problem or "no answer within 5 s")
    if "uthorization" in text:
        said = f"the server does not accept this {access.what}", "give what it was started with, or is configured for"
    elif isinstance(problem, Unusable):
        said = text, ""
    elif isinstance(problem, ssl.SSLCertVerificationError):
        said = f"its certificate is not to be trusted ({problem.verify_message})", "give its CA: RISE_NATS_CA=FILE"
    elif isinstance(problem, ssl.SSLError):
        said = f"TLS failed ({problem.reason})", "it may want a certificate: RISE_NATS_CERT=FILE, RISE_NATS_KEY=FILE"
    else:
        return errors.BusUnavailable(shown, f"nobody answers ({text})", "start it (rise up), or give its URL")
    error = errors.BusUnavailable(shown, *said)
    error.retriable = False
    return error


def without_secrets(url: str) -> str:
    """The address as it may be told."""
    parts = urlsplit(url if "//" in url else f"nats://{url}")
    host = parts.hostname or "?"
    return urlunsplit((parts.scheme, f"{host}:{parts.port}" if parts.port else host, "", "", ""))
