"""Pull consumers: messages out of a stream, one request at a time, through restarts of the server.

nats-py's own fetch is not used. Here one inbox lives as long as the consumer, one request is out at a time, and
idle heartbeats tell a quiet stream from a dead server: after silence the consumer is made again and asked again.
Nothing polls, so a message arrives as soon as the server has it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from rise_contracts import errors
from rise_runtime import streams
from rise_runtime.bus import Bus, Incoming, Subscription
from rise_runtime.together import meanwhile

log = logging.getLogger(__name__)

_SECOND: Final = 1_000_000_000
_EXPIRES_S: Final = 5.0
"""Who is cut off without a word is sent messages for so long, and each of them is late by its ack wait."""
_HEARTBEAT_S: Final = 1.0
_SILENCE_S: Final = 2.5
_PAUSE_S: Final = 0.2
_IDLE: Final = "100"
_GONE: Final = frozenset({"503", "404"})


@dataclass(slots=True)
class Delivery:
    """One message of a consumer. Acknowledge it, or it comes again (unless the consumer needs no acks)."""

    bus: Bus
    message: Incoming
    stream_sequence: int
    consumer_sequence: int
    deliveries: int
    pending: int
    received_at: float

    @property
    def subject(self) -> str:
        return self.message.subject

    @property
    def data(self) -> bytes:
        return self.message.data

    async def ack(self, *, confirmed: bool = True) -> None:
        """Done. `confirmed` waits for the server's word; without it a lost ack means one more delivery."""
        if not confirmed:
            await self._say(b"+ACK")
            return
        with suppress(errors.Waited, errors.NoResponder, errors.BusUnavailable):
            await self.bus.request(self.message.reply, b"+ACK", timeout=2.0)

    async def nak(self, delay_s: float = 0.0) -> None:
        """Not done: deliver it again, to anyone, after `delay_s`."""
        body = json.dumps({"delay": int(delay_s * _SECOND)}) if delay_s > 0 else ""
        await self._say(f"-NAK {body}".strip().encode())

    async def in_progress(self) -> None:
        """Still at it: the time until redelivery starts anew."""
        await self._say(b"+WPI")

    @asynccontextmanager
    async def kept(self, every_s: float) -> AsyncIterator[None]:
        """`in_progress` every so many seconds, for the length of the block."""

        async def keep() -> None:
            while True:
                await asyncio.sleep(every_s)
                await self.in_progress()

        async with meanwhile(keep()):
            yield

    async def term(self) -> None:
        """Never deliver it again."""
        await self._say(b"+TERM")

    async def _say(self, word: bytes) -> None:
        # Where it is lost, with the consumer or the server, the message comes again, and that is harmless: what it
        # asked for is stored under ids of its own.
        with suppress(errors.BusUnavailable):
            await self.bus.publish(self.message.reply, word)


class Consumer:
    """A pull consumer. `durable` None makes an ephemeral one that needs no acks and resumes where it was, or at the
    beginning of a stream that was made anew.

    Of a durable one at most `most_unacked` messages are out at a time, over all who share it. One that is not `made`
    here is made by somebody else: who may make a consumer may also have it push its messages to where others listen.

    `next` may be cancelled at any time without losing a message.
    """

    def __init__(
        self,
        bus: Bus,
        stream: str,
        filters: tuple[str, ...],
        *,
        durable: str | None = None,
        deliver: str = "all",
        ack_wait_s: float = 5.0,
        batch: int = 1,
        inactive_s: float = 0,
        most_unacked: int = 1000,
        made: bool = True,
    ) -> None:
        self._bus, self._stream, self._filters = bus, stream, filters
        self._durable, self._deliver, self._batch = durable, deliver, batch
        self._ack_wait_s, self._inactive_s = ack_wait_s, inactive_s
        self._most_unacked, self._made = most_unacked, made
        self._name = durable or ""
        self._last_sequence = 0
        self._queue: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._left = 0
        self._suspect = False
        self._heard_at = 0.0
        self._stop_listening: Callable[[], None] | None = None

    async def start(self) -> int:
        """Make the consumer at the server, or find it, and listen; how many messages there are for it. Raises
        JetStreamError, with code 404 where it has to be made and is not."""
        there = await self.make() if self._made else await self._find()
        if self._stop_listening is None:
            self._stop_listening = self._bus.on_reconnect(self._doubt)
            await self._listen()
        return there

    async def pending(self) -> int | None:
        """How many messages are still to be delivered, or None where the server does not say now."""
        try:
            answer = await streams.api(self._bus, f"CONSUMER.INFO.{self._stream}.{self._name}")
        except (streams.JetStreamError, errors.NoResponder, errors.Waited, errors.BusUnavailable):
            return None
        return int(answer["num_pending"])

    async def stop(self, *, delete: bool = False) -> None:
        """Stop listening and give back what was delivered and not taken. `delete` removes a durable one too."""
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None
        await self.pause()
        if (delete or self._durable is None) and self._made and self._bus.connected:
            # Nobody waits for the answer: where this is lost, the server forgets an idle consumer by itself.
            await self._bus.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._name}")

    async def pause(self) -> None:
        """Take no messages until the next `next`: the open request ends with its inbox."""
        if self._subscription is not None:
            await self._subscription.stop()
            self._subscription = None
        self._left = 0
        while not self._queue.empty():
            delivery = self._queue.get_nowait()
            if delivery is not None and self._durable is not None:
                await delivery.nak()

    async def next(self, timeout: float | None = None) -> Delivery | None:
        """The next message, or None after `timeout` seconds without one."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            await self._see_to_request()
            left = _SILENCE_S if deadline is None else min(_SILENCE_S, deadline - time.monotonic())
            try:
                # Not wait_for: before Python 3.12 it loses a cancellation that comes together with a message.
                async with asyncio.timeout(max(0.0, left)):
                    delivery = await self._queue.get()
            except TimeoutError:
                if deadline is not None and time.monotonic() >= deadline:
                    return None
                self._suspect = self._suspect or time.monotonic() - self._heard_at > _SILENCE_S
                continue
            if delivery is not None and self._is_fresh(delivery):
                self._last_sequence = max(self._last_sequence, delivery.stream_sequence)
                return delivery

    async def waiting(self) -> Delivery | None:
        """A message that is there now, or None: one round trip, and no request stays open.

        Not by `Bus.request`: a stream's message comes under its own subject, by which nats-py finds no request.
        """
        answers: asyncio.Queue[Incoming] = asyncio.Queue()
        inbox = self._bus.new_inbox()
        try:
            subscription = await self._bus.subscribe(inbox, answers.put_nowait)
            try:
                await self._bus.publish(self._next_subject, b'{"batch":1,"no_wait":true}', reply=inbox)
                async with asyncio.timeout(_SILENCE_S):
                    answer = await answers.get()
            finally:
                await subscription.stop()
        except (errors.BusUnavailable, TimeoutError):
            return None  # `next` looks after a consumer or server that is gone
        return _delivery(self._bus, answer) if _status(answer) is None else None

    async def _see_to_request(self) -> None:
        """One request is out at the server, unless messages are here already."""
        if not self._queue.empty():
            return
        if self._suspect:
            await self._revive()
        if self._subscription is None:
            await self._listen()
        if self._left <= 0:
            await self._ask()

    def _is_fresh(self, delivery: Delivery) -> bool:
        # What lay here for long has been, or is about to be, delivered to somebody else.
        return self._durable is None or time.monotonic() - delivery.received_at < self._ack_wait_s / 2

    async def _listen(self) -> None:
        self._suspect = False
        self._heard_at = time.monotonic()
        self._inbox = self._bus.new_inbox()
        self._subscription = await self._bus.subscribe(self._inbox, self._receive)
        self._left = 0

    async def _ask(self) -> None:
        self._left = self._batch
        request = {
            "batch": self._batch,
            "expires": int(_EXPIRES_S * _SECOND),
            "idle_heartbeat": int(_HEARTBEAT_S * _SECOND),
        }
        await self._bus.publish(self._next_subject, json.dumps(request).encode(), reply=self._inbox)

    @property
    def _next_subject(self) -> str:
        return f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"

    async def _receive(self, message: Incoming) -> None:
        self._heard_at = time.monotonic()
        status = _status(message)
        if status is None:
            self._left -= 1
            self._queue.put_nowait(_delivery(self._bus, message))
        elif status in _GONE or "eleted" in message.headers.get("Description", ""):
            # Nobody answers requests of this consumer: make it again, though not in a tight loop.
            asyncio.get_running_loop().call_later(0.1, self._doubt)
        elif status != _IDLE:
            self._left = 0
            self._queue.put_nowait(None)

    def _doubt(self) -> None:
        self._suspect = True
        self._queue.put_nowait(None)

    async def _revive(self) -> None:
        """See that the consumer is there, and ask anew on a fresh inbox. Waits for the server where it is away."""
        while True:
            try:
                await (self.make() if self._made else self._find())
                break
            except errors.BusUnavailable:
                if self._bus.closed.is_set():
                    raise
            except (errors.Busy, errors.Waited):
                pass  # JetStream is still starting
            except (streams.JetStreamError, errors.DiskFull) as error:
                log.warning("waiting for stream %s: %s", self._stream, error)
            await asyncio.sleep(_PAUSE_S)
        if self._subscription is not None:
            await self._subscription.stop()
        await self._listen()

    async def _find(self) -> int:
        answer = await streams.api(self._bus, f"CONSUMER.INFO.{self._stream}.{self._name}")
        return int(answer["num_pending"])

    async def make(self) -> int:
        """Make the consumer, or bring the one that is there to this; how many messages wait for it."""
        if self._durable is None:
            self._name = f"rise-{secrets.token_hex(6)}"  # a lost one may still be there, at an older position
        config: dict[str, Any] = {"name": self._name, "deliver_policy": self._deliver, "replay_policy": "instant"}
        if len(self._filters) == 1:
            config["filter_subject"] = self._filters[0]
        else:
            config["filter_subjects"] = list(self._filters)
        if self._durable is not None:
            config |= {
                "durable_name": self._name,
                "ack_policy": "explicit",
                "ack_wait": int(self._ack_wait_s * _SECOND),
                "max_deliver": -1,
                "max_ack_pending": self._most_unacked,
            }
            if self._inactive_s:
                config["inactive_threshold"] = int(self._inactive_s * _SECOND)
        else:
            config |= {"ack_policy": "none", "mem_storage": True, "inactive_threshold": 60 * _SECOND}
            if self._last_sequence and await self._ends_before(self._last_sequence):
                log.warning("stream %s was made anew: it is listened to from its beginning", self._stream)
                self._last_sequence = 0
            if self._last_sequence:
                config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": self._last_sequence + 1}
        verb = f"CONSUMER.CREATE.{self._stream}.{self._name}"
        if len(self._filters) == 1:
            verb += f".{self._filters[0]}"
        body = {"stream_name": self._stream, "config": config, "action": ""}
        answer = await streams.api(self._bus, verb, body, patience=streams.PATIENCE_S)
        return int(answer.get("num_pending", 0))

    async def _ends_before(self, sequence: int) -> bool:
        """Whether the stream has never come as far: it is another, for the server has lost its store. Who goes on at
        the next sequence would hear nothing for as long as the old one took to get there.

        Asked by a consumer of its last message: who may listen to a stream may not ask how it is.
        """
        probe = f"rise-{secrets.token_hex(6)}"
        config = {"name": probe, "deliver_policy": "last", "ack_policy": "none", "mem_storage": True}
        body = {"stream_name": self._stream, "config": config, "action": ""}
        answer = await streams.api(
            self._bus, f"CONSUMER.CREATE.{self._stream}.{probe}", body, patience=streams.PATIENCE_S
        )
        await self._bus.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{probe}")
        return int(answer["delivered"]["stream_seq"]) + 1 < sequence


def _status(message: Incoming) -> str | None:
    """The code of one of JetStream's own notes; None for a message of the stream."""
    return message.headers.get("Status") if not message.data else None


def _delivery(bus: Bus, message: Incoming) -> Delivery:
    """Read `$JS.ACK[.domain.account].stream.consumer.deliveries.sequence.consumer sequence.time.pending[.token]`."""
    tokens = message.reply.split(".")
    first = 2 if len(tokens) < 11 else 4
    deliveries, sequence, consumer_sequence, _, pending = (int(token) for token in tokens[first + 2 : first + 7])
    return Delivery(bus, message, sequence, consumer_sequence, deliveries, pending, time.monotonic())
