"""The bus: NATS as the rest of Rise sees it. Only this module, and `connection` under it, import nats-py.

nats-py is used for its core protocol alone, with what its defaults get wrong set right: it reconnects for ever,
notices a dead peer within 15 seconds, reports every error, and says before sending that a message is too large.
JetStream is spoken over this by `streams`, `pulls`, `buckets` and `blobs` through its JSON interface.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.micro.service import EndpointInfo, EndpointStats, Service, ServiceConfig, ServiceInfo, ServiceStats

from rise_contracts import errors
from rise_runtime.access import Access
from rise_runtime.connection import Connection, refused, without_secrets

log = logging.getLogger(__name__)

OLDEST_SERVER: Final = (2, 10)
HEADER_ROOM: Final = 4096
"""Bytes kept free below the server's max_payload for headers, which count too."""

RECONNECT_PAUSE_S: Final = 0.25
MOST_REPLICAS: Final = 3
"""Copies that streams get where there are as many servers: one of them may die."""
INBOX: Final = "_INBOX"
"""Where answers come to, for who has no identity of its own."""

_DENIED: Final = 'permissions violation for publish to "'
_DEAF: Final = 'permissions violation for subscription to "'

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message from the bus. `headers` holds "Status" on JetStream's own notes."""

    subject: str
    data: bytes
    reply: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


Callback = Callable[[Incoming], "Awaitable[None] | None"]


class Subscription:
    """A running subscription; `stop` ends it at the server and here."""

    def __init__(self, inner: NatsSubscription) -> None:
        self._inner = inner

    async def stop(self) -> None:
        # A connection that is closing has dropped its subscriptions already.
        with suppress(nats.errors.Error):
            await self._inner.unsubscribe()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a service answers on a subject, and has answered so far. Seconds are those of all requests together."""

    name: str
    subject: str
    queue: str
    requests: int = 0
    errors: int = 0
    seconds: float = 0.0
    last_error: str = ""


class _Discoverable(Service):
    """nats-py's answers to $SRV.PING, INFO and STATS, about endpoints that are served by `Bus.subscribe`.

    Its own endpoints take one request at a time, and answer an error with a Python repr in a header.
    """

    def __init__(self, client: Client, config: ServiceConfig, endpoints: Callable[[], Sequence[Endpoint]]) -> None:
        super().__init__(client, config)
        self._told = endpoints

    def info(self) -> ServiceInfo:
        return replace(
            super().info(), endpoints=[EndpointInfo(each.name, each.subject, each.queue) for each in self._told()]
        )

    def stats(self) -> ServiceStats:
        return replace(super().stats(), endpoints=[_stats(each) for each in self._told()])


class Announcement:
    """A service that can be found; `stop` ends that, not the service."""

    def __init__(self, inner: Service) -> None:
        self._inner = inner

    @property
    def id(self) -> str:
        """This instance's own, among all of its name."""
        return self._inner.id

    async def stop(self) -> None:
        with suppress(nats.errors.Error):
            await self._inner.stop()


class Bus:
    """A connection that survives its server. Made by `connect` only."""

    def __init__(self, client: Client, url: str, inbox: str = INBOX) -> None:
        self._client, self._inbox = client, inbox.lower()
        self.url = url
        self.closed = asyncio.Event()
        self.replicas = MOST_REPLICAS
        """Copies to ask for; fewer once the server has said that it has no peers, until it is another server."""
        self._reconnect_callbacks: list[Callable[[], None]] = []
        self._waiting: dict[asyncio.Timeout, str] = {}
        self._denied: dict[asyncio.Timeout, str] = {}

    @property
    def max_payload(self) -> int:
        """Bytes of the largest message the server takes."""
        return int(self._client.max_payload)

    @property
    def server_version(self) -> str:
        version = self._client.connected_server_version
        return f"{version.major}.{version.minor}.{version.patch}"

    @property
    def connected(self) -> bool:
        return bool(self._client.is_connected)

    def new_inbox(self) -> str:
        return str(self._client.new_inbox())

    def check_size(self, what: str, nbytes: int) -> None:
        """Raise PayloadTooLarge unless a message of `nbytes` fits; else it would look like a timeout."""
        limit = self.max_payload - HEADER_ROOM
        if nbytes > limit:
            raise errors.PayloadTooLarge(what, nbytes, limit)

    async def publish(
        self, subject: str, data: bytes = b"", *, reply: str = "", headers: Mapping[str, str] = _NO_HEADERS
    ) -> None:
        """Core NATS: at most once, nobody confirms it."""
        self.check_size(f"message on {subject}", len(data))
        try:
            await self._client.publish(subject, data, reply=reply, headers=dict(headers) or None)
        except (nats.errors.Error, OSError) as error:
            raise errors.BusUnavailable(self.url, f"publishing failed ({error})") from error

    async def request(
        self, subject: str, data: bytes = b"", *, timeout: float = 2.0, headers: Mapping[str, str] = _NO_HEADERS
    ) -> Incoming:
        """One answer. Raises NoResponder where nobody listens, Waited after `timeout` seconds, NotAllowed where the
        server does not take the question, and BusUnavailable as soon as the connection is lost: the answer would have
        come on it."""
        self.check_size(f"request on {subject}", len(data))
        task = asyncio.current_task()
        cancels = task.cancelling() if task is not None else 0
        loop = asyncio.get_running_loop()
        give_up = loop.time() + timeout
        patience = asyncio.timeout_at(give_up)
        self._waiting[patience] = subject
        try:
            async with patience:
                # Its own patience is the longer one: this one may end before its time.
                message = await self._client.request(subject, data, timeout=timeout + 1, headers=dict(headers) or None)
        except nats.errors.NoRespondersError as error:
            raise errors.NoResponder(subject) from error
        except (nats.errors.TimeoutError, TimeoutError) as error:
            if patience in self._denied:
                raise errors.NotAllowed(self.url, self._denied[patience], subject) from error
            if loop.time() < give_up:
                raise errors.BusUnavailable(
                    self.url, f"the connection was lost before {subject} was answered"
                ) from error
            raise errors.Waited(f"an answer on {subject}", timeout) from error
        except (nats.errors.Error, OSError) as error:
            raise errors.BusUnavailable(self.url, f"a request failed ({error})") from error
        finally:
            del self._waiting[patience]
            self._denied.pop(patience, None)
        if task is not None and task.cancelling() > cancels:
            # nats-py uses wait_for, which before Python 3.12 loses a cancellation that comes together with the answer.
            raise asyncio.CancelledError
        return _incoming(message)

    async def subscribe(self, subject: str, callback: Callback, *, queue: str = "") -> Subscription:
        """Call `callback` for each message, one at a time, in order. Its errors are logged, never fatal."""

        async def receive(message: Msg) -> None:
            try:
                pending = callback(_incoming(message))
                if inspect.isawaitable(pending):
                    await pending
            except Exception:
                log.exception("a subscriber of %s failed", subject)

        try:
            inner = await self._client.subscribe(
                subject, queue=queue, cb=receive, pending_msgs_limit=65_536, pending_bytes_limit=512 * 1024 * 1024
            )
        except (nats.errors.Error, OSError) as error:
            raise errors.BusUnavailable(self.url, f"subscribing failed ({error})") from error
        return Subscription(inner)

    async def announce(
        self, name: str, version: str, description: str, endpoints: Callable[[], Sequence[Endpoint]]
    ) -> Announcement:
        """Let a service be found by the NATS micro protocol (`nats micro ls`); `endpoints` is asked each time."""
        service = _Discoverable(self._client, ServiceConfig(name, version, description), endpoints)
        try:
            await service.start()
        except (nats.errors.Error, OSError) as error:
            raise errors.BusUnavailable(self.url, f"announcing {name} failed ({error})") from error
        return Announcement(service)

    async def barrier(self) -> None:
        """Return when the server has seen everything sent before. One flush overtakes what is still queued."""
        await self._client.flush()
        await self._client.flush()

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after each reconnection; the returned function takes it off again."""
        self._reconnect_callbacks.append(callback)
        return lambda: self._reconnect_callbacks.remove(callback)

    def note(self, error: Exception) -> None:
        """The server complains. Whoever waits for an answer to a message that it did not take, or on an inbox that it
        does not open, need not wait longer."""
        _, unheard, inbox = str(error).partition(_DEAF)
        _, unsaid, subject = str(error).partition(_DENIED)
        now = asyncio.get_running_loop().time()
        for patience, asked in tuple(self._waiting.items()):
            # nats-py writes subjects small.
            told = bool(unsaid) and asked.lower() == subject.rstrip('"')
            if (told or (unheard and inbox.startswith(self._inbox))) and not patience.expired():
                self._denied[patience] = f"publish on {asked}" if told else f"listen on {self._inbox}"
                patience.reschedule(now)

    def reconnected(self) -> None:
        log.info("connected again to NATS at %s", self.url)
        self.replicas = MOST_REPLICAS
        for callback in tuple(self._reconnect_callbacks):
            callback()

    def lost(self) -> None:
        """The connection is gone, and with it every answer that was to come on it."""
        now = asyncio.get_running_loop().time()
        for patience in tuple(self._waiting):
            if not patience.expired():
                patience.reschedule(now)

    async def close(self) -> None:
        """Send what is queued and close. Safe to call twice, and with the server away."""
        with suppress(nats.errors.Error, OSError, TimeoutError):
            if self.connected:
                await asyncio.wait_for(self.barrier(), 2.0)
        with suppress(nats.errors.Error, OSError):
            await self._client.close()
        self.closed.set()


async def open_bus(
    url: str, access: Access | str | None = None, *, name: str = "rise", inbox: str = INBOX, patience: float = 0.0
) -> Bus:
    """Connect, trying for `patience` seconds more where nothing answers.

    `access` is a token, for short, or more; `inbox` is what the subjects of answers begin with. Raises BusUnavailable
    (nobody there, wrong identity, no TLS) or BusUnsuitable (too old, no JetStream).
    """
    access = access if isinstance(access, Access) else Access(token=access)
    shown = without_secrets(url)
    give_up = asyncio.get_running_loop().time() + patience
    while True:
        try:
            bus = await _connect_once(url, shown, access, name, inbox)
            break
        except errors.BusUnavailable as error:
            if error.retriable and asyncio.get_running_loop().time() < give_up:
                await asyncio.sleep(0.05)
                continue
            raise
    try:
        await _check_suitable(bus)
    except errors.RiseError:
        await bus.close()
        raise
    return bus


@asynccontextmanager
async def connect(
    url: str, access: Access | str | None = None, *, name: str = "rise", inbox: str = INBOX, patience: float = 0.0
) -> AsyncIterator[Bus]:
    """`open_bus`, closed at the end of the block."""
    bus = await open_bus(url, access, name=name, inbox=inbox, patience=patience)
    try:
        yield bus
    finally:
        await bus.close()


async def _connect_once(url: str, shown: str, access: Access, name: str, inbox: str) -> Bus:
    client = Connection(access, tls=access.wants_tls or url.startswith("tls://"))
    bus = Bus(client, shown, inbox)
    failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def on_error(error: Exception) -> None:
        if not failed.done():
            failed.set_result(error)
        bus.note(error)
        log.log(logging.WARNING if bus.closed.is_set() or up else logging.DEBUG, "NATS at %s: %s", shown, error)

    async def on_disconnected() -> None:
        bus.lost()

    async def on_reconnected() -> None:
        bus.reconnected()

    async def on_closed() -> None:
        bus.closed.set()

    up = False
    connecting = asyncio.ensure_future(
        client.connect(
            url,
            **client.identity(),
            name=name,
            inbox_prefix=inbox,
            error_cb=on_error,
            disconnected_cb=on_disconnected,
            reconnected_cb=on_reconnected,
            closed_cb=on_closed,
            connect_timeout=2,
            reconnect_time_wait=RECONNECT_PAUSE_S,  # type: ignore[arg-type]  # slept as it is, so fractions do
            max_reconnect_attempts=-1,
            ping_interval=5,
            max_outstanding_pings=2,
            pending_size=64 * 1024 * 1024,
        )
    )
    waiting: set[asyncio.Future[Any]] = {connecting, failed}
    await asyncio.wait(waiting, timeout=5.0, return_when=asyncio.FIRST_COMPLETED)
    if connecting.done() and connecting.exception() is None:
        up = True
        return bus
    problem = failed.result() if failed.done() else (connecting.exception() if connecting.done() else None)
    connecting.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await connecting
    with suppress(Exception):
        await client.close()
    raise refused(shown, access, problem)


async def _check_suitable(bus: Bus) -> None:
    version = tuple(int(part) for part in bus.server_version.split(".")[:2])
    if version < OLDEST_SERVER:
        oldest = ".".join(map(str, OLDEST_SERVER))
        raise errors.BusUnsuitable(bus.url, f"wanted server {oldest} or newer, got {bus.server_version}", "upgrade it")
    for pause in (0.0, 0.5):  # one that reads its configuration anew has no JetStream for a moment
        await asyncio.sleep(pause)
        with suppress(errors.NoResponder):
            await bus.request("$JS.API.INFO", timeout=5.0)
            return
    raise errors.BusUnsuitable(bus.url, "wanted JetStream, got a server without it", "start it with -js")


def _incoming(message: Msg) -> Incoming:
    return Incoming(message.subject, message.data or b"", message.reply or "", message.headers or {})


def _stats(each: Endpoint) -> EndpointStats:
    nanoseconds = round(each.seconds * 1e9)
    return EndpointStats(
        name=each.name,
        subject=each.subject,
        queue_group=each.queue,
        num_requests=each.requests,
        num_errors=each.errors,
        processing_time=nanoseconds,
        average_processing_time=nanoseconds // max(each.requests, 1),
        last_error=each.last_error or None,
    )
