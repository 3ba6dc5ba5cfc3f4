"""The HTTP surface in this process: the real app over the real decisions, without a bus."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_contracts import codec
from rise_contracts.decisions import DecisionRecord
from rise_contracts.errors import (
    BusUnavailable,
    Busy,
    IdempotencyConflict,
    InvalidInput,
    NoResponder,
    NotFound,
    PayloadTooLarge,
    RiseError,
    UnknownName,
)
from rise_contracts.messages import Configure, Decision, Outcome, Problem, UserAct
from rise_contracts.reports import FleetReport, OutcomeReceipt, PolicyReport
from rise_runtime.guard import Guard
from rise_scheduler.fleet import Fleet
from rise_scheduler.http import gate, problems, routes, server
from rise_scheduler.learn import Verdict
from rise_scheduler.state import StateRefused
from rise_scheduler.store import UnknownDecision
from tests.unit.scheduler.builders import fixed, outcome_of, question
from tests.unit.scheduler.in_memory import InMemory

TOKEN = "s3cret"
GUARD = Guard(token=TOKEN)
AS_JSON = {"Content-Type": "application/json"}


def client(answers: routes.Answers, base: str = "http://127.0.0.1:8080", **options: Any) -> httpx.AsyncClient:
    app = routes.application(answers, **options)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base)


@pytest.fixture
def scheduler() -> InMemory:
    return InMemory()


@pytest.fixture
async def http(scheduler: InMemory) -> AsyncIterator[httpx.AsyncClient]:
    async with client(scheduler) as opened:
        yield opened


async def post(
    http: httpx.AsyncClient, path: str, message: Any, headers: Mapping[str, str] = AS_JSON
) -> httpx.Response:
    body = message if isinstance(message, bytes) else codec.encode(message)
    return await http.post(path, content=body, headers=dict(headers))


def problem(response: httpx.Response, status: int) -> Problem:
    """The typed problem of an answer that must have this status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    return codec.decode(Problem, response.content)


async def decided(http: httpx.AsyncClient, asked: Configure | None = None) -> Decision:
    response = await post(http, "/v1/configurations", asked or question())
    assert response.status_code == 200, response.text
    return codec.decode(Decision, response.content)


async def test_a_question_gets_its_decision_and_the_log_has_it(http: httpx.AsyncClient, scheduler: InMemory) -> None:
    decision = await decided(http)
    assert decision == scheduler.log[decision.id].decision
    response = await http.get(f"/v1/decisions/{decision.id}")
    record = codec.decode(DecisionRecord, response.content)
    assert record == scheduler.log[decision.id]
    chosen = next(view for view in record.candidates if view.arm == decision.arm)
    assert chosen.score is not None
    assert len(chosen.predictions.stage_seconds) == len(decision.configuration.stages)


async def test_an_outcome_is_learned_once_corrected_once_and_then_replayed(
    http: httpx.AsyncClient, scheduler: InMemory
) -> None:
    decision = await decided(http)
    bare = outcome_of(scheduler.log[decision.id], 1.0)
    judged = bare.model_copy(update={"quality": 0.8})
    verdicts = []
    for outcome in (bare, bare, judged, judged):
        receipt = codec.decode(OutcomeReceipt, (await post(http, "/v1/outcomes", outcome)).content)
        assert receipt.decision_id == decision.id
        verdicts.append(receipt.verdict)
    assert verdicts == ["learned", "replayed", "corrected", "replayed"]
    assert receipt.explanation == Verdict.REPLAYED
    assert scheduler.learned.posterior.outcomes == 1


async def test_an_outcome_of_a_job_that_fixed_its_stages_teaches_nothing_and_says_so(http: httpx.AsyncClient) -> None:
    decision = await decided(http, question(relay=fixed({"member": "small", "steps": 3})))
    outcome = Outcome(decision_id=decision.id, job_id=decision.job_id, arm=decision.arm, latency_s=1.0, edge_s=0.0)
    receipt = codec.decode(OutcomeReceipt, (await post(http, "/v1/outcomes", outcome)).content)
    assert receipt.verdict == "not-an-arm"


async def test_an_outcome_that_does_not_fit_its_decision_is_refused(
    http: httpx.AsyncClient, scheduler: InMemory
) -> None:
    decision = await decided(http)
    for wrong in ({"arm": "small:3"}, {"job_id": "another"}, {"quality": 1.5}):
        outcome = outcome_of(scheduler.log[decision.id]).model_copy(update=wrong)
        told = problem(await post(http, "/v1/outcomes", outcome), 422)
        assert (told.problem, told.retriable) == ("InvalidInput", False)
    assert scheduler.learned.posterior.outcomes == 0


async def test_an_outcome_of_no_known_decision_is_404(http: httpx.AsyncClient, scheduler: InMemory) -> None:
    decision = await decided(http)
    outcome = outcome_of(scheduler.log.pop(decision.id))
    told = problem(await post(http, "/v1/outcomes", outcome), 404)
    assert told.problem == "UnknownDecision"
    assert "older than the log keeps" in told.message
    assert problem(await http.get(f"/v1/decisions/{decision.id}"), 404).problem == "UnknownDecision"


async def test_the_fleet_and_the_policy_are_told(http: httpx.AsyncClient, scheduler: InMemory) -> None:
    fleet = codec.decode(FleetReport, (await http.get("/v1/fleet")).content)
    assert [beat.worker for beat in (*fleet.edge.workers, *fleet.device.workers)] == ["edge-0", "device-0"]
    policy = codec.decode(PolicyReport, (await http.get("/v1/policy")).content)
    assert policy == await scheduler.policy()


async def test_without_workers_a_question_is_told_when_to_come_again(scheduler: InMemory) -> None:
    scheduler.fleet_now = Fleet()
    async with client(scheduler) as http:
        response = await post(http, "/v1/configurations", question())
    told = problem(response, 503)
    assert (told.problem, told.retriable) == ("Busy", True)
    assert response.headers["retry-after"] == "1"


async def test_an_unknown_family_is_404_with_the_nearest_name(http: httpx.AsyncClient) -> None:
    told = problem(await post(http, "/v1/configurations", question(family="rise-shape")), 404)
    assert told.problem == "UnknownName"
    assert "did you mean 'rise-shapes'" in told.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"version":2}',
        codec.encode(question())[:-1] + b',"more":1}',
        codec.encode(question()).replace(b'"seed":7', b'"seed":"7"'),
        codec.encode(question()).replace(b'"accepted_at":1000.0', b'"accepted_at":NaN'),
    ],
)
async def test_a_body_that_is_no_question_is_422_in_one_line(http: httpx.AsyncClient, body: bytes) -> None:
    told = problem(await post(http, "/v1/configurations", body), 422)
    assert told.problem == "InvalidInput"
    assert "\n" not in told.message
    assert len(told.message) < 2000


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["request", "attempt", "decision_id", "arm", "version"]), inner, max_size=4
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
async def test_no_body_is_an_error_of_ours(body: bytes) -> None:
    async with client(InMemory()) as http:
        for path in ("/v1/configurations", "/v1/outcomes"):
            problem(await post(http, path, body), 422)


async def test_a_body_too_large_is_413_whether_it_says_so_or_not(http: httpx.AsyncClient) -> None:
    async def in_pieces() -> AsyncIterator[bytes]:
        for _ in range(gate.BODY_LIMIT // 1024 + 1):
            yield b" " * 1024

    whole = await post(http, "/v1/configurations", b" " * (gate.BODY_LIMIT + 1))
    assert problem(whole, 413).problem == "PayloadTooLarge"
    chunked = await http.post("/v1/outcomes", content=in_pieces(), headers=AS_JSON)
    assert problem(chunked, 413).problem == "PayloadTooLarge"
    at_the_limit = codec.encode(question()).ljust(gate.BODY_LIMIT)
    assert (await post(http, "/v1/configurations", at_the_limit)).status_code == 200


async def test_a_client_that_hangs_up_in_mid_body_is_no_bug_of_ours(
    scheduler: InMemory, caplog: pytest.LogCaptureFixture
) -> None:
    parts = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(parts)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/outcomes", "headers": headers, "query_string": b""}
    await routes.application(scheduler)(scope, receive, send)
    assert sent[0]["status"] == 422
    assert caplog.text == ""


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
async def test_a_body_must_say_that_it_is_json(http: httpx.AsyncClient, kind: str) -> None:
    response = await post(http, "/v1/configurations", question(), {"Content-Type": kind})
    assert problem(response, 415).problem == "UnsupportedBody"
    assert (
        await post(http, "/v1/configurations", question(), {"Content-Type": "Application/JSON; charset=utf-8"})
    ).status_code == 200


@pytest.mark.parametrize(
    "given_header", [None, "", "Bearer", f"Basic {TOKEN}", "Bearer other", f"Bearer {TOKEN}x", TOKEN, "Bearer sé"]
)
async def test_without_the_token_nothing_is_told(scheduler: InMemory, given_header: str | None) -> None:
    headers = [] if given_header is None else [(b"Authorization", given_header.encode())]
    async with client(scheduler, guard=GUARD) as http:
        for path in ("/v1/fleet", "/v1/policy", "/v1/decisions/d0"):
            response = await http.get(path, headers=headers)
            assert problem(response, 401).problem == "Unauthorized"
            assert response.headers["www-authenticate"] == "Bearer"
            assert TOKEN not in response.text
        typed = [*headers, (b"Content-Type", b"application/json")]
        response = await http.post("/v1/configurations", content=b"{}", headers=typed)
        assert problem(response, 401).problem == "Unauthorized"


async def test_with_the_token_everything_is(scheduler: InMemory) -> None:
    async with client(scheduler, "http://scheduler.example:80", guard=GUARD) as http:
        http.headers["Authorization"] = f"Bearer {TOKEN}"
        assert (await decided(http)).id == "d0"
        assert (await http.get("/v1/fleet")).status_code == 200


@pytest.mark.parametrize("host", ["attacker.example", "127.0.0.1.attacker.example", "192.168.0.7"])
async def test_without_a_token_only_this_machines_own_names_are_answered(scheduler: InMemory, host: str) -> None:
    async with client(scheduler, f"http://{host}:8080") as http:
        assert problem(await http.get("/v1/fleet"), 403).problem == "Forbidden"
    for own in ("localhost:8080", "[::1]:8080", "127.0.0.1"):
        async with client(scheduler, f"http://{own}") as http:
            assert (await http.get("/v1/fleet")).status_code == 200


async def test_health_without_a_port_of_its_own_is_open_but_for_the_metrics(
    scheduler: InMemory,
) -> None:
    ready = [False]
    async with client(scheduler, guard=GUARD, ready=lambda: ready[0]) as http:
        assert (await http.get("/healthz")).text == "ok\n"
        assert (await http.get("/readyz")).status_code == 503
        ready[0] = True
        assert (await http.get("/readyz")).text == "ready\n"
        problem(await http.get("/metrics"), 401)
        metrics = await http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert "rise_decision_seconds_bucket" in metrics.text
        assert metrics.headers["content-type"].startswith("text/plain; version=")
    async with client(scheduler) as http:
        problem(await http.get("/healthz"), 404)


async def test_a_path_or_method_that_is_not_there_is_a_typed_problem(http: httpx.AsyncClient) -> None:
    assert problem(await http.get("/v2/fleet"), 404).problem == "NotFound"
    wrong = await http.get("/v1/configurations")
    problem(wrong, 405)
    assert wrong.headers["allow"] == "POST"
    for page in ("/docs", "/redoc"):  # they would load scripts from elsewhere
        problem(await http.get(page), 404)


async def test_the_document_has_the_contracts_own_models(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    for kind in (
        Configure,
        Outcome,
        UserAct,
        Decision,
        DecisionRecord,
        Problem,
        FleetReport,
        PolicyReport,
        OutcomeReceipt,
    ):
        own = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        own.pop("$defs", None)
        assert schemas[kind.__name__] == own
    assert set(document["paths"]) == {
        "/v1/configurations",
        "/v1/outcomes",
        "/v1/acts",
        "/v1/fleet",
        "/v1/policy",
        "/v1/decisions/{decision_id}",
    }
    asked = document["paths"]["/v1/configurations"]["post"]
    assert asked["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Configure"}
    answered = asked["responses"]
    assert answered["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Decision"}
    assert answered["422"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Problem"}


async def test_every_reference_in_the_document_leads_somewhere(scheduler: InMemory) -> None:
    async with client(scheduler, guard=GUARD) as http:
        document = (await http.get("/openapi.json")).json()

    def references(part: Any) -> set[str]:
        if isinstance(part, dict):
            own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
            return own.union(*(references(value) for value in part.values()))
        return set().union(*(references(value) for value in part)) if isinstance(part, list) else set()

    found = references(document)
    assert len(found) > 10
    names = {reference.removeprefix("#/components/schemas/") for reference in found}
    assert names <= set(document["components"]["schemas"])
    assert document["security"] == [{"token": []}]


async def test_a_bug_of_ours_is_500_without_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(InMemory):
        async def fleet(self) -> FleetReport:
            raise KeyError("oh")

    with caplog.at_level(logging.ERROR):
        async with client(Broken()) as http:
            response = await http.get("/v1/fleet")
    told = problem(response, 500)
    assert (told.problem, told.retriable) == ("Internal", False)
    assert "Traceback" not in response.text
    assert "KeyError" in caplog.text


def test_an_answer_is_not_held_back_until_its_first_half_is_acknowledged() -> None:
    # asyncio sets TCP_NODELAY on connections of a listener that names its protocol, and on no others: 40 ms a request.
    with server.bound(("127.0.0.1", 0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        with pytest.raises(InvalidInput, match="choose another port"):
            server.bound(listener.getsockname()[:2])


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (InvalidInput("seed", "a number", "x"), 422, None),
        (UnknownName("family", "x", ["y"]), 404, None),
        (NotFound("job", "x"), 404, None),
        (UnknownDecision("x"), 404, None),
        (IdempotencyConflict("k", "j"), 409, None),
        (PayloadTooLarge("body", 2, 1), 413, None),
        (Busy("full", retry_after=2.5), 503, "3"),
        (Busy("full", retry_after=0.0), 503, "1"),
        (NoResponder("rise.x"), 503, "1"),
        (BusUnavailable("nats://x", "away"), 503, "1"),
        (StateRefused("newer", newer=True), 503, "1"),
        (RiseError("what?"), 500, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, RiseError) else str(value),
)
def test_every_error_has_the_status_that_a_client_can_act_on(
    error: RiseError, status: int, retry_after: str | None
) -> None:
    response = problems.answer(error)
    assert response.status_code == status
    assert response.headers.get("retry-after") == retry_after
    assert codec.decode(Problem, bytes(response.body)).message == str(error)
