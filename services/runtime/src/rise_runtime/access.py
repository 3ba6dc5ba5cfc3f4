"""How a process shows a NATS server who it is, and knows the server: everything that is secret, from files.

A file is read anew at each connection, so that a key that was exchanged is taken up without a restart.
"""

from __future__ import annotations

import base64
import ssl
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import nkeys

from rise_contracts.errors import InvalidInput

URL: Final = "RISE_NATS_URL"
TOKEN: Final = "RISE_NATS_TOKEN"
FOLDER: Final = "RISE_NATS_ACCESS"
_IDENTITIES: Final = {
    "login": ("RISE_NATS_LOGIN", "login"),
    "nkey": ("RISE_NATS_NKEY", "nkey"),
    "creds": ("RISE_NATS_CREDS", "nats.creds"),
}
_CERTIFICATES: Final = {
    "ca": ("RISE_NATS_CA", "ca.crt"),
    "cert": ("RISE_NATS_CERT", "tls.crt"),
    "key": ("RISE_NATS_KEY", "tls.key"),
}
_ONE: Final = f"one identity: {TOKEN}, RISE_NATS_LOGIN, _NKEY or _CREDS, or a file of {FOLDER}"


@dataclass(frozen=True, slots=True)
class Access:
    """At most one identity, and what TLS needs.

    Attributes:
        token: the token itself, or a file that holds it.
        login: a file that holds `user:password`.
        nkey: a file with the seed of an ed25519 key pair, as `rise keys` writes it.
        creds: a file with a JWT and its seed, as `nsc` writes it.
        ca: certificates that sign the server's; without it those that the system trusts.
        cert, key: this client's own certificate, where the server asks for one.
    """

    token: str | Path | None = field(default=None, repr=False)
    login: Path | None = None
    nkey: Path | None = None
    creds: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("token", "login", "nkey", "creds") if getattr(self, name)]
        if len(given) > 1:
            raise InvalidInput("identity", _ONE, " and ".join(given), "take the others away")
        if (self.cert is None) is not (self.key is None):
            got = "the certificate alone" if self.key is None else "the key alone"
            raise InvalidInput("RISE_NATS_CERT, RISE_NATS_KEY", "a certificate and its key", got)

    @property
    def wants_tls(self) -> bool:
        return self.ca is not None or self.cert is not None

    @property
    def what(self) -> str:
        """The identity in a word or two, for messages. Never the secret."""
        if self.token is not None:
            return "token" if isinstance(self.token, str) else f"token in {self.token}"
        for name, path in (("login", self.login), ("nkey", self.nkey), ("credentials", self.creds)):
            if path is not None:
                return f"{name} in {path}"
        return "connection without an identity"

    def read_token(self) -> str:
        """Raises InvalidInput."""
        return self.token if isinstance(self.token, str) else _secret(self.token, "a token")

    def read_login(self) -> tuple[str, str]:
        """User and password. Raises InvalidInput."""
        user, colon, password = _secret(self.login, "user:password").partition(":")
        if not (user and colon and password):
            raise InvalidInput(str(self.login), "user:password on one line", "something else")
        return user, password

    def read_jwt(self) -> str:
        """The JWT of the credentials. Raises InvalidInput."""
        return _section(_secret(self.creds, "NATS credentials"), "NATS USER JWT", self.creds)

    def sign(self, nonce: bytes) -> tuple[str, bytes]:
        """The public key, and the nonce signed with what belongs to it (base64). Raises InvalidInput."""
        path = self.nkey or self.creds
        if self.nkey is not None:
            seed = _secret(self.nkey, "an nkey seed")
        else:
            seed = _section(_secret(self.creds, "NATS credentials"), "USER NKEY SEED", self.creds)
        try:
            pair = nkeys.from_seed(bytearray(seed.encode()))
            public, signed = pair.public_key.decode(), pair.sign(nonce)
            pair.wipe()
        except (nkeys.NkeysError, ValueError) as error:
            hint = "make one with: rise keys"
            raise InvalidInput(str(path), "the seed of a user's nkey (SU…)", "something else", hint) from error
        return public, base64.b64encode(signed)

    def tls(self) -> ssl.SSLContext:
        """Checks the server's certificate and its name. Raises InvalidInput."""
        for path in (self.ca, self.cert):
            if path is not None and not path.is_file():
                raise InvalidInput(str(path), "a PEM file with certificates", "no such file")
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None and self.key is not None:
                _secret(self.key, "a private key")
                context.load_cert_chain(self.cert, self.key)
        except (ssl.SSLError, OSError) as error:
            paths = ", ".join(str(path) for path in (self.ca, self.cert, self.key) if path is not None)
            raise InvalidInput(paths, "PEM files that belong together", f"{error.args[-1]}") from error
        return context


NOBODY: Final = Access()
"""For a server that lets everybody in."""


def from_environment(environment: Mapping[str, str]) -> Access:
    """What RISE_NATS_TOKEN, _LOGIN, _NKEY, _CREDS, _CA, _CERT and _KEY say, or else the files token, login, nkey,
    nats.creds, ca.crt, tls.crt and tls.key of the folder RISE_NATS_ACCESS. Command lines say nothing: every user of the
    machine sees them. Raises InvalidInput.
    """
    folder = Path(environment[FOLDER]) if environment.get(FOLDER) else None
    if folder is not None and not folder.is_dir():
        raise InvalidInput(FOLDER, "a folder", str(folder), "mount the Secret there, or leave it out")

    def found(variable: str, name: str) -> Path | None:
        if environment.get(variable):
            return Path(environment[variable])
        return folder / name if folder is not None and (folder / name).is_file() else None

    identities = {field: found(*names) for field, names in _IDENTITIES.items()}
    certificates = {field: found(*names) for field, names in _CERTIFICATES.items()}
    token = environment.get(TOKEN) or found("", "token")
    return Access(token=token, **identities, **certificates)


def only(token: str) -> dict[str, str]:
    """The variables of a process that shows this token and nothing else, whatever the environment says besides."""
    others = (FOLDER, *(variable for variable, _ in (*_IDENTITIES.values(), *_CERTIFICATES.values())))
    return {TOKEN: token, **dict.fromkeys(others, "")}


def _secret(path: Path | None, wanted: str) -> str:
    """The text of a file that not everybody may read."""
    if path is None:
        raise InvalidInput("identity", wanted, None)
    try:
        text, mode = path.read_text(encoding="utf-8").strip(), path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(str(path), wanted, getattr(error, "strerror", None) or "no text") from error
    if mode & stat.S_IRWXO:
        raise InvalidInput(str(path), "a file that others cannot read", stat.filemode(mode), f"chmod o= {path}")
    if not text:
        raise InvalidInput(str(path), wanted, "an empty file")
    return text


def _section(text: str, title: str, path: Path | None) -> str:
    """What stands between BEGIN and END of a part of a .creds file."""
    lines = [line.strip() for line in text.splitlines()]
    for number, line in enumerate(lines[:-1]):
        if line.startswith("-") and f"BEGIN {title}" in line and lines[number + 1]:
            return lines[number + 1]
    raise InvalidInput(
        str(path), f"NATS credentials with a {title}", "none in it", "make them with: nsc generate creds"
    )
