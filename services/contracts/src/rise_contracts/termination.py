"""The last word of a process that an error ended: for whoever started it, and has to decide by values and not by text.

In a pod it is the termination message, which Kubernetes keeps in the status of the container; there it may be 4096
bytes long. Words of processes that know more, or less, are read as far as they are understood.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from rise_contracts.errors import RiseError

VARIABLE = "RISE_TERMINATION_LOG"
"""The environment's word for the file that it goes into."""
LONGEST_BYTES = 4096


class LastWord(BaseModel):
    """`reason` is the error's enumerated one, `message` its line for people."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    reason: str
    message: str


def encode(error: RiseError) -> str:
    """One line of JSON, with as much of the message as there is room for."""
    message = str(error)
    while len(line := LastWord(reason=error.reason, message=message).model_dump_json().encode()) >= LONGEST_BYTES:
        message = message[: len(message) * 3 // 4]
    return line.decode() + "\n"


def decode(text: str) -> LastWord | None:
    """None for whatever else a process may have written."""
    try:
        return LastWord.model_validate_json(text)
    except ValidationError:
        return None
