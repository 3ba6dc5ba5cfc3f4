"""The Kubernetes API over a real connection: a server on loopback that answers what a test tells it to."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio import client

from rise_operator.api import DEPLOYMENTS, LEASES, MODEL_FAMILIES, PODS, RELAY_JOBS, Api, ApiError, Kind, Object

JOBS = "/apis/rise-relay.io/v1alpha1/namespaces/default/relayjobs"


class Told:
    """What the server was asked, and what it answers: in order, the last answer again and again."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, str], Object | None, str]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        data = await request.read()
        body = json.loads(data) if data else None
        self.asked.append((request.method, request.path, dict(request.query), body, request.content_type))
        status, answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, bytes):
            return web.Response(status=status, body=answer)
        return web.json_response(answer, status=status)


@contextlib.asynccontextmanager
async def asking(told: Told, *, limit_s: float = 30.0, token: str = "") -> AsyncIterator[Api]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", told.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    settings = client.Configuration(host=f"http://{host}:{port}")
    if token:
        settings.api_key["BearerToken"] = f"Bearer {token}"
    try:
        async with client.ApiClient(settings) as inner:
            yield Api(inner, limit_s=limit_s)
    finally:
        await runner.cleanup()


def refusal(code: int, reason: str, message: str = "no") -> tuple[int, Object]:
    return code, {"kind": "Status", "reason": reason, "message": message, "code": code}


@pytest.mark.parametrize(
    ("kind", "arguments", "path"),
    [
        (RELAY_JOBS, ("default",), JOBS),
        (RELAY_JOBS, ("default", "a"), f"{JOBS}/a"),
        (RELAY_JOBS, ("default", "a", "status"), f"{JOBS}/a/status"),
        (RELAY_JOBS, (None,), "/apis/rise-relay.io/v1alpha1/relayjobs"),
        (PODS, ("default", "a"), "/api/v1/namespaces/default/pods/a"),
        (MODEL_FAMILIES, (None, "tiny"), "/apis/rise-relay.io/v1alpha1/modelfamilies/tiny"),
        (MODEL_FAMILIES, ("default", "tiny"), "/apis/rise-relay.io/v1alpha1/modelfamilies/tiny"),
        (LEASES, ("rise", "l"), "/apis/coordination.k8s.io/v1/namespaces/rise/leases/l"),
    ],
)
def test_every_kind_has_its_place(kind: Kind, arguments: tuple[Any, ...], path: str) -> None:
    assert kind.path(*arguments) == path


class TestVerbs:
    async def test_what_is_there_is_given_and_what_is_not_is_none(self) -> None:
        told = Told((200, {"metadata": {"name": "a"}}), refusal(404, "NotFound"))
        async with asking(told, token="secret") as api:
            assert await api.get(RELAY_JOBS, "default", "a") == {"metadata": {"name": "a"}}
            assert await api.get(RELAY_JOBS, "default", "b") is None
        assert [asked[:2] for asked in told.asked] == [("GET", f"{JOBS}/a"), ("GET", f"{JOBS}/b")]
        assert api.writes == 0

    async def test_a_list_is_read_to_its_end(self) -> None:
        def page(*names: str, following: str = "") -> tuple[int, Object]:
            return 200, {"metadata": {"continue": following}, "items": [{"metadata": {"name": name}} for name in names]}

        told = Told(page("a", "b", following="more/&="), page(following="last"), page("c"))
        async with asking(told) as api:
            found = [body async for body in api.list(PODS, "default", labels="a=b,c=d", page=2)]
        assert [body["metadata"]["name"] for body in found] == ["a", "b", "c"]
        assert [asked[2] for asked in told.asked] == [
            {"limit": "2", "labelSelector": "a=b,c=d"},
            {"limit": "2", "labelSelector": "a=b,c=d", "continue": "more/&="},
            {"limit": "2", "labelSelector": "a=b,c=d", "continue": "last"},
        ]

    async def test_a_patch_says_what_kind_it_is_and_who_makes_it(self) -> None:
        told = Told((200, {}))
        async with asking(told) as api:
            await api.merge(RELAY_JOBS, "default", "a", {"status": {}}, subresource="status")
            await api.apply(DEPLOYMENTS, "default", "a", {"spec": {}})
            await api.create(PODS, "default", {"metadata": {}})
            await api.replace(LEASES, "rise", "l", {"spec": {}})
        assert [(method, path.rsplit("/", 2)[1:], query, kind) for method, path, query, _, kind in told.asked] == [
            ("PATCH", ["a", "status"], {"fieldManager": "rise-operator"}, "application/merge-patch+json"),
            (
                "PATCH",
                ["deployments", "a"],
                {"fieldManager": "rise-operator", "force": "true"},
                "application/apply-patch+yaml",
            ),
            ("POST", ["default", "pods"], {}, "application/json"),
            ("PUT", ["leases", "l"], {}, "application/json"),
        ]
        assert [body for *_, body, _ in told.asked] == [{"status": {}}, {"spec": {}}, {"metadata": {}}, {"spec": {}}]
        assert api.writes == 4

    async def test_only_the_object_that_is_meant_is_deleted_and_one_that_is_gone_is_no_error(self) -> None:
        told = Told((200, {}), refusal(404, "NotFound"), refusal(409, "Conflict", "the UID in the precondition"))
        async with asking(told) as api:
            await api.delete(PODS, "default", "a", uid="u-1")
            await api.delete(PODS, "default", "a")
            await api.delete(PODS, "default", "a", uid="u-2")
        assert told.asked[0][3] == {"propagationPolicy": "Background", "preconditions": {"uid": "u-1"}}
        assert told.asked[1][3] == {"propagationPolicy": "Background"}


class TestErrors:
    async def error(self, told: Told, **options: Any) -> ApiError:
        async with asking(told, **options) as api:
            with pytest.raises(ApiError) as caught:
                await api.create(PODS, "default", {"metadata": {"name": "a"}})
        return caught.value

    @pytest.mark.parametrize(
        ("code", "reason", "retriable"),
        [
            (400, "BadRequest", False),
            (401, "Unauthorized", False),
            (403, "Forbidden", False),
            (409, "AlreadyExists", True),
            (422, "Invalid", False),
            (429, "TooManyRequests", True),
            (500, "InternalError", True),
            (503, "ServiceUnavailable", True),
        ],
    )
    async def test_a_refusal_carries_the_servers_words(self, code: int, reason: str, retriable: bool) -> None:
        error = await self.error(Told(refusal(code, reason, "pods is\nforbidden")))
        assert (error.status, error.reason, error.retriable) == (code, reason, retriable)
        assert str(error) == f"post /api/v1/namespaces/default/pods: pods is forbidden ({code} {reason})"

    @pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b"", b"[1]", b"\xff{", b'"text"'])
    async def test_an_answer_of_somebody_else_is_told_as_it_is(self, body: bytes) -> None:
        error = await self.error(Told((502, body)))
        assert (error.status, error.reason, error.retriable) == (502, "ApiUnavailable", True)
        assert "\n" not in str(error)

    async def test_a_long_answer_is_cut(self) -> None:
        assert len(str(await self.error(Told(refusal(422, "Invalid", "x" * 9000))))) < 600

    async def test_a_server_that_never_answers_is_given_up(self) -> None:
        class Silent(Told):
            async def answer(self, request: web.Request) -> web.StreamResponse:
                await asyncio.Event().wait()
                raise AssertionError("unreachable")

        error = await self.error(Silent((200, {})), limit_s=0.05)
        assert (error.status, error.retriable) == (0, True)
        assert "does not answer" in str(error)

    async def test_a_server_that_stops_in_mid_answer_is_given_up(self) -> None:
        class Slow(Told):
            async def answer(self, request: web.Request) -> web.StreamResponse:
                response = web.StreamResponse()
                await response.prepare(request)
                await response.write(b'{"kind":')
                await asyncio.Event().wait()
                return response

        assert (await self.error(Slow((200, {})), limit_s=0.05)).status == 0

    async def test_a_server_that_is_not_there_is_named(self) -> None:
        async with asking(Told((200, {}))) as api:
            host = api.host
        async with client.ApiClient(client.Configuration(host=host)) as inner:
            with pytest.raises(ApiError, match=f"the API server at {host} does not answer") as caught:
                await Api(inner).get(PODS, "default", "a")
        assert (caught.value.status, caught.value.reason) == (0, "ApiUnavailable")
