"""Work on a thread and a loop of its own, which nothing that is done on this loop can hold up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Aside(Generic[T]):
    """`work` begins at once. `ended` is what becomes of it, on the loop that asked."""

    def __init__(self, name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[T] = self._loop.create_future()
        self._cancel: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._cancelled = False
        threading.Thread(target=self._run, args=(work,), name=name, daemon=True).start()

    def cancel(self) -> None:
        """Cancel the work; `ended` is cancelled once that has cleared up."""
        with self._lock:
            self._cancelled = True
            if self._cancel is not None:
                self._cancel()

    def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        try:
            result = asyncio.run(self._work(work))
        except asyncio.CancelledError:
            self._tell(self.ended.cancel)
        except BaseException as error:  # noqa: BLE001 - it is raised again, on the loop that waits for it
            failure = error
            self._tell(lambda: self.ended.set_exception(failure))
        else:
            self._tell(lambda: self.ended.set_result(result))

    async def _work(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        task, loop = asyncio.ensure_future(work()), asyncio.get_running_loop()
        with self._lock:
            self._cancel = lambda: _soon(loop, task.cancel)
            if self._cancelled:
                task.cancel()
        return await task

    def _tell(self, say: Callable[[], object]) -> None:
        _soon(self._loop, lambda: None if self.ended.done() else say())


def _soon(loop: asyncio.AbstractEventLoop, say: Callable[[], object]) -> None:
    """On a loop that may be closed by now, so that nobody waits there any more."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(say)
