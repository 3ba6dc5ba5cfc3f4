"""The paths, and what is behind them: decode, ask the scheduler, encode. Nothing is decided here.

Bodies go through the bus' own codec, not through FastAPI's: one reading of the contract, strict, with the same
sentence for the same mistake, whichever way it came. FastAPI routes and writes the OpenAPI document.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from rise_contracts import codec
from rise_contracts.decisions import DecisionRecord
from rise_contracts.errors import InvalidInput, NotFound, RiseError, StageFailed, Waited
from rise_contracts.messages import Configure, Decision, Outcome, Problem, UserAct
from rise_contracts.reports import FleetReport, OutcomeReceipt, PolicyReport
from rise_runtime import telemetry
from rise_runtime.guard import OPEN, Guard
from rise_scheduler import metrics
from rise_scheduler.http import gate, openapi, problems
from rise_scheduler.learn import Verdict

log = logging.getLogger(__name__)

ANSWER_S = 10.0
"""Seconds after which an answer is given up, with 503: the bus must be away."""


class Answers(Protocol):
    """What is served: a Scheduler."""

    async def configure(self, question: Configure) -> Decision: ...

    async def learn(self, outcome: Outcome) -> Verdict: ...

    async def act(self, said: UserAct) -> Verdict: ...

    async def decision(self, decision_id: str) -> DecisionRecord: ...

    async def fleet(self) -> FleetReport: ...

    async def policy(self) -> PolicyReport: ...


Work = Callable[[Request], Awaitable[BaseModel]]


class _Route(APIRoute):
    """An endpoint that is called as it is: FastAPI would look for a body and dependencies first, and there are none."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


def application(answers: Answers, *, guard: Guard = OPEN, ready: Callable[[], bool] | None = None) -> FastAPI:
    """The app. Every path under /v1 asks for what `guard` does; with `ready` it serves health and metrics too."""
    app = FastAPI(
        title="Rise scheduler",
        version="1",
        docs_url=None,
        redoc_url=None,
        exception_handlers={404: _no_such_path, 405: _no_such_method},
    )
    app.router.route_class = _Route
    works = _Works(answers)

    def path(method: str, where: str, work: Work, kind: type[BaseModel], takes: type[BaseModel] | None = None) -> None:
        async def endpoint(request: Request) -> Response:
            return await _answered(request, work, guard)

        app.add_api_route(
            where,
            endpoint,
            methods=[method],
            name=work.__name__,
            response_model=kind,
            responses=_problems(*_USUAL, *(_OF_BODIES if takes else ())),
            description=work.__doc__,
            openapi_extra=openapi.takes(where, takes),
        )

    path("POST", "/v1/configurations", works.configure, Decision, Configure)
    path("POST", "/v1/outcomes", works.learn, OutcomeReceipt, Outcome)
    path("POST", "/v1/acts", works.act, OutcomeReceipt, UserAct)
    path("GET", "/v1/fleet", works.fleet, FleetReport)
    path("GET", "/v1/policy", works.policy, PolicyReport)
    path("GET", "/v1/decisions/{decision_id}", works.decision, DecisionRecord)
    if ready is not None:
        _serve_health(app, ready, guard)
    openapi.describe(app, _MESSAGES, protected=guard.asks)
    return app


class _Works:
    """The scheduler's methods, from request to message."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def configure(self, request: Request) -> Decision:
        """A configuration for a job, decided and logged."""
        return await self._answers.configure(codec.decode(Configure, await gate.body_of(request), extra="forbid"))

    async def learn(self, request: Request) -> OutcomeReceipt:
        """Learn what came of a decision, once however often it is sent. 404 where the decision is not in the log."""
        outcome = codec.decode(Outcome, await gate.body_of(request), extra="forbid")
        verdict = await self._answers.learn(outcome)
        if verdict is Verdict.REFUSED:
            wanted = "job, arm and numbers that fit the decision"
            raise InvalidInput("outcome", wanted, outcome.decision_id, f"GET /v1/decisions/{outcome.decision_id}")
        return _receipt(outcome.decision_id, verdict)

    async def act(self, request: Request) -> OutcomeReceipt:
        """Learn from what a user did with a picture, where nobody judged it before: keep it, or have another made."""
        said = codec.decode(UserAct, await gate.body_of(request), extra="forbid")
        return _receipt(said.decision_id, await self._answers.act(said))

    async def decision(self, request: Request) -> DecisionRecord:
        """Why a job got its configuration: each candidate as it was seen, or why it was left out."""
        return await self._answers.decision(request.path_params["decision_id"])

    async def fleet(self, request: Request) -> FleetReport:
        """The workers, by tier, as their heartbeats describe them."""
        return await self._answers.fleet()

    async def policy(self, request: Request) -> PolicyReport:
        """How an ordinary job would be answered now, and what was learned of each arm, by family."""
        return await self._answers.policy()


def _receipt(decision_id: str, verdict: Verdict) -> OutcomeReceipt:
    return OutcomeReceipt(decision_id=decision_id, verdict=metrics.word(verdict), explanation=str(verdict))


async def _answered(request: Request, work: Work, guard: Guard) -> Response:
    """The answer, an error included: each is a Problem with its status."""
    try:
        async with asyncio.timeout(ANSWER_S):
            await gate.check_request(request, guard)
            message = await work(request)
        return Response(codec.encode(message), media_type=problems.JSON)
    except RiseError as error:
        return problems.answer(error)
    except TimeoutError:
        return problems.answer(Waited(f"an answer on {request.url.path}", ANSWER_S))
    except Exception as error:
        log.exception("%s %s failed", request.method, request.url.path)
        return problems.answer(StageFailed(f"{type(error).__name__}: {error}", reason="Internal", retriable=False))


def _serve_health(app: FastAPI, ready: Callable[[], bool], guard: Guard) -> None:
    async def health(request: Request) -> Response:
        if request.url.path == telemetry.METRICS_PATH:
            try:
                await gate.check_request(request, guard)
            except RiseError as error:
                return problems.answer(error)
        answer = telemetry.answer_to(request.url.path, ready)
        return Response(answer.body, answer.status.value, media_type=answer.kind)

    for path in telemetry.HEALTH_PATHS:
        app.add_route(path, health, include_in_schema=False)


async def _no_such_path(request: Request, error: Exception) -> Response:
    return problems.answer(_unknown(request), HTTPStatus.NOT_FOUND)


async def _no_such_method(request: Request, error: Exception) -> Response:
    response = problems.answer(_unknown(request), HTTPStatus.METHOD_NOT_ALLOWED)
    response.headers.update(getattr(error, "headers", None) or {})  # what is allowed
    return response


def _unknown(request: Request) -> NotFound:
    return NotFound("path", f"{request.method} {request.url.path[:200]}", "GET /openapi.json lists those there are")


_MESSAGES = (Configure, Outcome, UserAct, Decision, DecisionRecord, FleetReport, PolicyReport, OutcomeReceipt, Problem)
_USUAL = (HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)
_OF_BODIES = (
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


def _problems(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    return {status.value: {"model": Problem, "description": status.phrase} for status in statuses}
