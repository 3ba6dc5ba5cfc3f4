"""A certificate authority of a test's own, made with openssl: it lives as long as its folder."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DAYS = "2"
"""Long enough for any run, short enough that a forgotten folder opens nothing."""


@dataclass(frozen=True)
class Pair:
    """A private key with its certificate, both PEM files."""

    key: Path
    certificate: Path


class Authority:
    """Signs serving and client certificates; `pair` is its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self.pair = Pair(folder / "ca.key", folder / "ca.crt")
        _openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", str(self.pair.key))
        request = self._request("ca", self.pair.key, "/CN=rise-test-ca")
        self._sign(
            request, self.pair.certificate, ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign,cRLSign"]
        )

    def serving(self, name: str, addresses: Sequence[str]) -> Pair:
        """For a server reached by these: "IP:127.0.0.1", "DNS:localhost" …"""
        extensions = [f"subjectAltName={','.join(addresses)}", "extendedKeyUsage=serverAuth,clientAuth"]
        return self._pair(name, f"/CN={name}", extensions)

    def client(self, name: str, user: str, groups: Sequence[str] = ()) -> Pair:
        """For a user as Kubernetes reads one: the common name, and an organisation for each group."""
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
        return self._pair(name, subject, ["extendedKeyUsage=clientAuth"])

    def key_pair(self, name: str) -> tuple[Path, Path]:
        """A bare key and its public half, such as sign the tokens of service accounts."""
        private, public = self._folder / f"{name}.key", self._folder / f"{name}.pub"
        _openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", str(private))
        _openssl("pkey", "-in", str(private), "-pubout", "-out", str(public))
        return private, public

    def _pair(self, name: str, subject: str, extensions: Sequence[str]) -> Pair:
        pair = Pair(self._folder / f"{name}.key", self._folder / f"{name}.crt")
        _openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", str(pair.key))
        self._sign(self._request(name, pair.key, subject), pair.certificate, extensions)
        return pair

    def _request(self, name: str, key: Path, subject: str) -> Path:
        request = self._folder / f"{name}.csr"
        _openssl("req", "-new", "-sha256", "-key", str(key), "-subj", subject, "-out", str(request))
        return request

    def _sign(self, request: Path, certificate: Path, extensions: Sequence[str]) -> None:
        asked = request.with_suffix(".ext")
        asked.write_text("\n".join(extensions) + "\n")
        ours = certificate == self.pair.certificate
        signer = (
            ["-signkey", str(self.pair.key)]
            if ours
            else ["-CA", str(self.pair.certificate), "-CAkey", str(self.pair.key), "-CAcreateserial"]
        )
        what = ["-req", "-sha256", "-days", DAYS, "-in", str(request), "-out", str(certificate)]
        _openssl("x509", *what, "-extfile", str(asked), *signer)


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"wanted openssl {arguments[0]} to work, got: {done.stderr.strip()[-500:]}")
