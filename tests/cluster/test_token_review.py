"""Tokens of service accounts, reviewed by a real API server: HTTP and metrics open to those on the list alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from rise_runtime import guard, telemetry, token_review
from rise_runtime.guard import Guard
from rise_runtime.token_review import ReviewFailed, TokenReviews
from rise_scheduler.http import routes
from tests.chart.charts import as_text, render
from tests.kube.controlplane import ControlPlane
from tests.kube.kubectl import Kubectl
from tests.unit.scheduler.in_memory import InMemory

HTTP, METRICS = "rise-http", "rise-metrics"
VALUES = {
    "scheduler": {"http": {"enabled": True, "accounts": ["studio/asker"]}},
    "metrics": {"accounts": ["monitoring/prometheus"]},
}


@dataclass(frozen=True)
class Pod:
    """What a pod of the scheduler finds in its environment, on a control plane of the test's own."""

    plane: ControlPlane
    kubectl: Kubectl
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        address = urlsplit(self.plane.url)
        return {
            "KUBERNETES_SERVICE_HOST": str(address.hostname),
            "KUBERNETES_SERVICE_PORT": str(address.port),
            "RISE_SERVICE_ACCOUNT": str(self.folder),
        }

    def guard(self, name: str, account: str) -> Guard:
        return guard.read(name, {**self.environment, f"{name}_ACCOUNTS": account})

    def be(self, account: str) -> None:
        """Find the token of this account mounted, as after a renewal."""
        (self.folder / "token").write_text(self.token(account))

    def token(self, account: str, audience: str = "") -> str:
        namespace, _, name = account.partition("/")
        more = [f"--audience={audience}"] if audience else []
        return self.kubectl.within(namespace).run("create", "token", name, "--duration=600s", *more).strip()


@pytest.fixture
def pod(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Pod]:
    """The pod, with the rights that the chart gives; accounts asker and other are in its namespace too."""
    kubectl = control_plane.kubectl(namespace)
    for name in ("asker", "other"):
        kubectl.run("create", "serviceaccount", name)
    rendered = render("--namespace", namespace, values=VALUES, folder=tmp_path)
    named = ("rise-scheduler", f"{namespace}-rise-token-review")
    rights = [body for body in rendered.objects if body["metadata"]["name"] in named]
    kinds = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding")
    text = as_text(*(body for body in rights if body["kind"] in kinds))
    kubectl.apply(text)
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(control_plane.ca_file.read_bytes())
    made = Pod(control_plane, kubectl, folder)
    made.be(f"{namespace}/rise-scheduler")
    yield made
    kubectl.run("delete", "-f", "-", "--wait=false", stdin=text)


async def asks(keeper: Guard, token: str, host: str = "scheduler.rise.svc") -> httpx.Response:
    """The fleet, asked for with this token."""
    app = routes.application(InMemory(), guard=keeper)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{host}:8081") as http:
        return await http.get("/v1/fleet", headers={"Authorization": f"Bearer {token}"})


async def test_http_opens_to_an_account_on_the_list_with_a_token_made_for_it(pod: Pod, namespace: str) -> None:
    keeper = pod.guard("RISE_HTTP", f"{namespace}/asker")
    asker, other = f"{namespace}/asker", f"{namespace}/other"
    mine = pod.token(asker, HTTP)
    assert (await asks(keeper, mine)).status_code == 200
    refused = {
        "a token for the API server": pod.token(asker),
        "a token for another service": pod.token(asker, "vault"),
        "a token for metrics": pod.token(asker, METRICS),
        "another account": pod.token(other, HTTP),
        "a signature that is not the issuer's": mine[:-8] + "AAAAAAAA",
        "no token at all": "x",
        "much too long": "x" * (token_review.LONGEST + 1),
        "the scheduler's own": (pod.folder / "token").read_text(),
    }
    for what, token in refused.items():
        response = await asks(keeper, token)
        assert response.status_code == 401, what
        assert token not in response.text or token == "x", what


async def test_metrics_of_a_process_beyond_loopback_open_to_the_scraper_alone(pod: Pod, namespace: str) -> None:
    keeper = pod.guard("RISE_METRICS", f"{namespace}/asker")
    async with telemetry.served_health(("0.0.0.0", 0), lambda: True, guard=keeper) as address:
        assert address is not None
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{address[1]}") as http:

            async def status(path: str, account: str, audience: str) -> int:
                headers = {"Authorization": f"Bearer {pod.token(f'{namespace}/{account}', audience)}"}
                return (await http.get(path, headers=headers)).status_code

            assert await status("/metrics", "asker", METRICS) == 200
            assert await status("/metrics", "asker", HTTP) == 401
            assert await status("/metrics", "other", METRICS) == 401
            assert (await http.get("/metrics")).status_code == 401
            assert (await http.get("/readyz")).status_code == 200


async def test_an_account_that_is_gone_gets_in_no_longer_than_a_yes_is_remembered(pod: Pod, namespace: str) -> None:
    now = [0.0]
    server = token_review.api_server("RISE_HTTP_ACCOUNTS", pod.environment)
    accounts = token_review.read_accounts("RISE_HTTP_ACCOUNTS", f"{namespace}/asker")
    reviews = TokenReviews(server, HTTP, accounts, clock=lambda: now[0])
    token = pod.token(f"{namespace}/asker", HTTP)
    assert await reviews.admits(token)
    pod.kubectl.run("delete", "serviceaccount", "asker")
    now[0] = token_review.ADMITTED_S - 0.1
    assert await reviews.admits(token)  # without a question to the API server
    now[0] = token_review.ADMITTED_S + 0.1
    async with asyncio.timeout(30):
        while await reviews.admits(token):  # the API server itself remembers for some seconds
            now[0] += token_review.ADMITTED_S + 0.1
            await asyncio.sleep(0.2)


async def test_without_the_right_to_review_nobody_gets_in_and_the_answer_says_why(pod: Pod, namespace: str) -> None:
    keeper = pod.guard("RISE_HTTP", f"{namespace}/asker")
    pod.be(f"{namespace}/other")
    response = await asks(keeper, pod.token(f"{namespace}/asker", HTTP))
    assert response.status_code == 503
    assert "may create tokenreviews" in response.json()["message"]
    assert int(response.headers["retry-after"]) >= 1


async def test_while_the_api_server_is_away_who_was_let_in_stays_and_nobody_new_comes(pod: Pod, namespace: str) -> None:
    keeper = pod.guard("RISE_HTTP", f"{namespace}/asker")
    known, fresh = pod.token(f"{namespace}/asker", HTTP), pod.token(f"{namespace}/asker", HTTP)
    assert (await asks(keeper, known)).status_code == 200
    pod.plane.pause_api()
    try:
        assert (await asks(keeper, known)).status_code == 200
        assert (await asks(keeper, fresh)).status_code == 503
    finally:
        pod.plane.resume_api()
    assert (await asks(keeper, fresh)).status_code == 200


async def test_another_server_in_its_place_is_not_believed(pod: Pod, namespace: str, tmp_path: Path) -> None:
    other = ControlPlane(tmp_path / "other").ca_file
    (pod.folder / "ca.crt").write_bytes(other.read_bytes())
    keeper = pod.guard("RISE_HTTP", f"{namespace}/asker")
    with pytest.raises(ReviewFailed, match="CERTIFICATE_VERIFY_FAILED"):
        await keeper.check(f"Bearer {pod.token(f'{namespace}/asker', HTTP)}", "scheduler")
