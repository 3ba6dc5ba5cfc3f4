"""Every error that Rise raises on purpose.

::

    RiseError                      exit code 1
    ├── InvalidInput               2   a value that cannot be accepted; .field .wanted .got .hint
    │   ├── UnknownName            2   a name that is not known; .kind .name .candidates
    │   ├── LatentsDiffer          2   parts of a family that are not of one latent space
    │   ├── IdempotencyConflict    2   one idempotency key, two different jobs; .key .job_id
    │   └── PayloadTooLarge        2   more bytes than may be carried; .nbytes .limit .what
    ├── NotFound                   3   a job, result or worker that does not exist; .kind .name
    ├── JobEndedBadly              4   the job was accepted and ended as Failed; .job_id .reason
    ├── StageFailed                4   a stage could not be computed; .reason .retriable
    │   └── HandoffRefused         4   the receiver does not take the handoff; .refusal
    ├── Cancelled                  5   the job was cancelled
    ├── Busy                       6   nobody free now, try again later; .retry_after
    │   └── NoResponder            6   nobody listens on a subject; .subject
    ├── Waited                     6   a wait ran out of time; .seconds .what
    ├── BusUnavailable             7   no NATS server answers; .url
    │   └── BusUnsuitable          7   one answers, but too old or without JetStream
    ├── NotAllowed                 7   the NATS server does not let this identity do that; .url .subject
    ├── WorkerLost                 8   a worker stopped answering; .worker
    ├── DiskFull                   9   no room to write; .path
    └── RemoteError                    an error that happened in another process, by its reason and exit code

Each message is one line: what was wanted, what was got, what to do next. The facts are attributes, so that
callers decide on values and never by reading text.
"""

# The names say what happened and are read as `errors.Busy`: an Error suffix would say it twice.

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from rise_contracts import words

LONGEST = 1000
"""Characters of a message before its hint: what came may be megabytes, and the message goes over the bus."""


class RiseError(Exception):
    """Root of all deliberate errors. ``str(error)`` is one line fit for a terminal."""

    exit_code: int = 1
    retriable: bool = False

    @property
    def reason(self) -> str:
        """The enumerated reason put on the wire and into a job's status."""
        return type(self).__name__


class InvalidInput(RiseError):
    exit_code = 2

    def __init__(self, field: str, wanted: str, got: object, hint: str = "") -> None:
        self.field, self.wanted, self.got, self.hint = field, wanted, got, hint
        super().__init__(_one_line(f"{field}: wanted {wanted}, got {got!r}", hint))


class UnknownName(InvalidInput):
    """``kind`` is what the name names: "family", "member", "field" …"""

    def __init__(self, kind: str, name: str, candidates: Iterable[str], field: str = "") -> None:
        self.kind, self.name, self.candidates = kind, name, tuple(candidates)
        super().__init__(field or kind, f"a known {kind}", name, words.suggestion(name, self.candidates))


class LatentsDiffer(InvalidInput):
    """Parts of a family that cannot take over from each other: not of one latent space."""


class IdempotencyConflict(InvalidInput):
    def __init__(self, key: str, job_id: str) -> None:
        self.key, self.job_id = key, job_id
        super().__init__(
            "idempotencyKey",
            "a key that no other job uses",
            key,
            f"job {job_id} has this key and a different spec; use another key, or send the same spec",
        )


class PayloadTooLarge(InvalidInput):
    def __init__(self, what: str, nbytes: int, limit: int) -> None:
        self.what, self.nbytes, self.limit = what, nbytes, limit
        super().__init__(what, f"at most {limit} bytes", nbytes, "make fewer or smaller images, or raise the limit")


class NotFound(RiseError):
    exit_code = 3

    def __init__(self, kind: str, name: str, hint: str = "") -> None:
        self.kind, self.name = kind, name
        super().__init__(_one_line(f"{kind} {name!r} does not exist", hint))


class JobEndedBadly(RiseError):
    exit_code = 4

    def __init__(self, job_id: str, reason: str, message: str) -> None:
        self.job_id, self.message = job_id, message
        self._reason = reason
        super().__init__(_one_line(f"job {job_id} failed ({reason}): {message}"))

    @property
    def reason(self) -> str:
        return self._reason


class StageFailed(RiseError):
    """Raised by a stage handler. ``retriable`` says whether another attempt could end better."""

    exit_code = 4

    def __init__(self, message: str, *, reason: str = "StageFailed", retriable: bool = True) -> None:
        self._reason, self.retriable = reason, retriable
        super().__init__(message)

    @property
    def reason(self) -> str:
        return self._reason


class Refusal(StrEnum):
    """Why a receiver does not take a handoff."""

    VERSION = "Version"
    JOB = "Job"
    ATTEMPT = "Attempt"
    STAGE = "Stage"
    FAMILY = "Family"
    LATENT_CONTRACT = "LatentContract"
    ENCODING = "Encoding"
    SIGMA = "Sigma"
    SHAPE = "Shape"
    DTYPE = "Dtype"
    SOLVER = "Solver"
    DIGEST = "Digest"
    SIZE = "Size"
    NOT_FINITE = "NotFinite"
    MALFORMED = "Malformed"


class HandoffRefused(StageFailed):
    def __init__(self, refusal: Refusal, wanted: object, got: object, hint: str = "") -> None:
        self.refusal, self.wanted, self.got = refusal, wanted, got
        text = f"handoff refused ({refusal}): wanted {wanted}, got {got}"
        # A digest or size that is wrong was damaged under way; everything else is wrong each time.
        damaged = refusal in (Refusal.DIGEST, Refusal.SIZE)
        super().__init__(_one_line(text, hint), reason="HandoffRefused", retriable=damaged)


class Cancelled(RiseError):
    exit_code = 5

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"job {job_id} was cancelled")


class Busy(RiseError):
    exit_code = 6
    retriable = True

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class NoResponder(Busy):
    def __init__(self, subject: str, what: str = "nobody") -> None:
        self.subject = subject
        super().__init__(f"{what} listens on {subject}; see that the process that serves it runs")


class Waited(RiseError):
    exit_code = 6
    retriable = True

    def __init__(self, what: str, seconds: float, hint: str = "") -> None:
        self.what, self.seconds = what, seconds
        super().__init__(_one_line(f"{what} did not happen within {seconds:g} s", hint))


class BusUnavailable(RiseError):
    exit_code = 7
    retriable = True

    def __init__(self, url: str, message: str, hint: str = "") -> None:
        self.url = url
        super().__init__(_one_line(f"NATS at {url}: {message}", hint))


class BusUnsuitable(BusUnavailable):
    retriable = False


class NotAllowed(RiseError):
    exit_code = 7

    def __init__(self, url: str, what: str, subject: str) -> None:
        self.url, self.what, self.subject = url, what, subject
        hint = "use the key of this very role, pool and name, or give this one the right in the server's configuration"
        super().__init__(_one_line(f"NATS at {url}: this identity may not {what}", hint))


class WorkerLost(RiseError):
    exit_code = 8
    retriable = True

    def __init__(self, worker: str, message: str = "no heartbeat any more") -> None:
        self.worker = worker
        super().__init__(f"worker {worker}: {message}")


class DiskFull(RiseError):
    exit_code = 9

    def __init__(
        self,
        path: str,
        message: str = "no room or no right to write",
        hint: str = "free some space or choose another folder",
    ) -> None:
        self.path = path
        super().__init__(_one_line(f"cannot write {path}: {message}", hint))


class RemoteError(RiseError):
    """An error of another process, rebuilt from its wire form."""

    def __init__(self, reason: str, message: str, retriable: bool) -> None:
        self._reason, self.retriable = reason, retriable
        self.exit_code = EXIT_CODES.get(reason, RiseError.exit_code)
        super().__init__(_one_line(message))

    @property
    def reason(self) -> str:
        return self._reason


def _one_line(text: str, hint: str = "") -> str:
    line = _shown(text)
    return f"{line}; {_shown(hint)}" if hint else line


def _shown(text: str) -> str:
    """One line that a terminal may be given, whoever wrote it: no control characters, and an end."""
    line = " ".join(text.split())
    line = line if len(line) <= LONGEST else line[:LONGEST] + "…"
    return line if line.isprintable() else "".join(char if char.isprintable() else "?" for char in line)


def _tree(root: type[RiseError]) -> dict[str, int]:
    found = {root.__name__: root.exit_code}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


EXIT_CODES: dict[str, int] = _tree(RiseError)
"""Exit code by reason, for processes that only hold an error's wire form."""
