"""Jobs that compute side by side on one thread, in rounds (step-level continuous batching).

In every round each live job is given the answer to one ask, so all get on at the same number of forward passes,
whatever their member, size or age: a step is one round, or two with Heun. Asks of one kind share a pass, as far as
memory goes; the kinds take turns within the round. A job joins at the beginning of a round, in the order of arrival,
and leaves as soon as it has ended or is not wanted any more: its rows are in no later pass. What a job does besides
(loading, encoding, decoding) is done between two passes, and the others wait for it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, TypeVar

from rise_stage.engine.asking import Asking
from rise_stage.engine.batch import Answer, Ask, Batch
from rise_stage.engine.memory import is_out_of_memory

log = logging.getLogger(__name__)

T = TypeVar("T")


class Rounds:
    """Runs work that asks, on one thread of its own, for callers that wait on theirs.

    A job that runs out of memory in company begins again by itself: those before it end, and nobody joins until it is
    through.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compute")
        self._lock = threading.Lock()
        self._arrived: deque[_Job[Any]] = deque()
        self._turning = False
        self._waiting: list[_Job[Any]] = []
        self._live: list[_Job[Any]] = []
        self._full = False

    def run(self, begin: Callable[[], Asking[T]], check: Callable[[], None]) -> T:
        """Do the work that `begin` makes, and wait for it; from any thread. Raises what the work raises.

        `check` is called before each of its passes, and while it waits; what it raises is thrown into the work.
        """
        return self.start(begin, check).result()

    def start(self, begin: Callable[[], Asking[T]], check: Callable[[], None]) -> Future[T]:
        """`run` without the waiting."""
        job = _Job(begin, check)
        with self._lock:
            self._arrived.append(job)
            turning, self._turning = self._turning, True
        if not turning:
            self._thread.submit(self._turn)
        return job.done

    def call(self, function: Callable[[], T]) -> T:
        """Run a function on the thread that computes, when no job is live."""
        return self._thread.submit(function).result()

    @property
    def full(self) -> bool:
        """Whether one more job, of the largest kind and size there is, would take a second pass. From any thread."""
        return self._full

    def _turn(self) -> None:
        """Round after round, until nobody is left."""
        try:
            while self._anybody():
                self._let_in()
                self._round()
        except Exception as error:
            log.exception("the rounds broke off")
            for job in (*self._live, *self._waiting):
                job.fail(error)
                job.tell()
            self._live, self._waiting = [], []
            self._thread.submit(self._turn)  # for those that arrived since

    def _anybody(self) -> bool:
        with self._lock:
            self._waiting += self._arrived
            self._arrived.clear()
            self._turning = bool(self._waiting or self._live)
            return self._turning

    def _let_in(self) -> None:
        """Start those who wait, first come, first served."""
        while self._waiting:
            self._look_round()
            if not self._waiting or any(job.by_itself for job in self._live):
                return
            if self._waiting[0].by_itself and self._live:
                return
            job = self._waiting.pop(0)
            self._live.append(job)
            job.start()
            self._settle()

    def _round(self) -> None:
        """Answer the ask of each live job."""
        asked = {job: job.ask for job in self._live if job.ask is not None}
        jobs, asks = list(asked), list(asked.values())
        for positions in self._batch.passes(asks):
            self._look_round()
            here = [at for at in positions if jobs[at].ask is not None]
            answers = self._batch.forward([asks[at] for at in here]) if here else []
            for at, answer in zip(here, answers, strict=True):
                jobs[at].take(answer)
            self._settle()

    def _look_round(self) -> None:
        """Give everybody a sign of life, and let go of those who are not wanted any more."""
        for job in (*self._live, *self._waiting):
            job.look()
        self._settle()

    def _settle(self) -> None:
        """Tell the callers of jobs that have ended, and put those that lacked memory back to the front."""
        ended = [job for job in (*self._live, *self._waiting) if job.over]
        again = [job for job in ended if len(self._live) > 1 and job.lacks_memory and not job.by_itself]
        self._live = [job for job in self._live if not job.over]
        self._waiting = [job for job in self._waiting if not job.over]
        self._full = self._is_full()
        for job in ended:
            if job not in again:
                job.tell()
        for job in again:
            log.warning("a job ran out of memory in company and begins again by itself")
            job.reset()
        self._waiting[:0] = again

    def _is_full(self) -> bool:
        asks = [job.ask for job in self._live if job.ask is not None]
        return any(self._batch.is_full([ask for ask in asks if ask.kind == kind]) for kind in {a.kind for a in asks})


class _Job(Generic[T]):
    """One piece of work, from its arrival to its end. Used by the thread that computes, but for `done`."""

    def __init__(self, begin: Callable[[], Asking[T]], check: Callable[[], None]) -> None:
        self.done: Future[T] = Future()
        self.by_itself = False
        self.ask: Ask | None = None
        self._begin, self._check = begin, check
        self._work: Asking[T] | None = None
        self._result: tuple[T] | None = None
        self._error: Exception | None = None

    @property
    def over(self) -> bool:
        return self._result is not None or self._error is not None

    @property
    def lacks_memory(self) -> bool:
        return self._error is not None and is_out_of_memory(self._error)

    def start(self) -> None:
        """Go on until the first ask, or the end."""
        self._advance(self._first)

    def take(self, answer: Answer | Exception) -> None:
        """Go on until the next ask, or the end."""
        if isinstance(answer, Exception):
            self.fail(answer)
        elif self._work is not None:
            self._advance(partial(self._work.send, answer))

    def look(self) -> None:
        """Fail where the work is not wanted any more."""
        try:
            self._check()
        except Exception as error:
            log.debug("a job is not wanted any more", exc_info=True)
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """End with `error`, which the work may tidy up after."""
        if self._work is None:
            self._error = error
        else:
            self._advance(partial(self._work.throw, error))

    def tell(self) -> None:
        if self._result is not None:
            self.done.set_result(self._result[0])
        else:
            self.done.set_exception(self._error)

    def reset(self) -> None:
        """As it was when it arrived, but to be let in alone."""
        self._work = self._error = None
        self.by_itself = True

    def _first(self) -> Ask:
        self._work = self._begin()
        return next(self._work)

    def _advance(self, move: Callable[[], Ask]) -> None:
        self.ask = None
        try:
            self.ask = move()
        except StopIteration as end:
            self._result = (end.value,)
        except Exception as error:
            log.debug("a job ends with an error", exc_info=True)
            self._error = error
