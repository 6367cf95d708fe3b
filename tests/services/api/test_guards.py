"""Who is let in, what is too long, and how failures look."""

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from services.api.auth import Authenticator, Patience, bearer
from tests.services.api.conftest import CONFIG, TOKEN, House, open_house

pytestmark = pytest.mark.anyio


async def ask(house: House, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """A request without the client's own token."""
    async with httpx.AsyncClient(timeout=10) as client:
        return await client.request(method, house.address + path, headers=headers)


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YTpi", "Bearer wrong", "bearer  x y", TOKEN])
async def test_without_the_token_nothing_is_told(house: House, header: str) -> None:
    for method, path in (("GET", "/api/v1/runs"), ("POST", "/api/v1/flows/build/runs"), ("GET", "/api/v1/nothing")):
        answer = await ask(house, path, method, **({"Authorization": header} if header else {}))
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_probes_and_contract_are_open(house: House) -> None:
    for path in ("/health/live", "/health/ready", "/openapi.json", "/docs", "/api/v1/openapi.json", "/api/v1/docs"):
        assert (await ask(house, path)).status_code == 200, path


async def test_the_token_says_who_one_is(house: House) -> None:
    assert (await house.client.get("/me")).json() == {"user": "admin", "role": "admin", "token": "admin"}


async def test_guessing_ends_but_a_known_caller_is_still_heard(house: House) -> None:
    assert (await house.client.get("/me")).status_code == 200
    heard = 0
    while (await ask(house, "/api/v1/me", Authorization=f"Bearer {heard}")).status_code == 401 and heard < 200:
        heard += 1
    assert 20 <= heard < 200
    answer = await ask(house, "/api/v1/me", Authorization="Bearer guess")
    assert int(answer.headers["Retry-After"]) >= 1
    assert (await house.client.get("/me")).status_code == 200


def test_a_bucket_refills_and_neighbours_have_their_own() -> None:
    now = 0.0
    patience = Patience(capacity=2, refill_seconds=3, clock=lambda: now, most_addresses=2)
    for _ in range(2):
        assert patience.refuses("a", "x") == 0
        patience.failed("a")
    assert patience.refuses("a", "x") == 3
    assert patience.refuses("b", "x") == 0
    now = 3.0
    assert patience.refuses("a", "x") == 0


def test_memory_of_addresses_is_bounded() -> None:
    patience = Patience(capacity=1, clock=lambda: 0.0, most_addresses=3)
    for n in range(100):
        patience.failed(str(n))
        patience.succeeded(str(n), "t")
    assert patience.refuses("0", "x") == 0
    assert patience.refuses("99", "x") > 0


def test_tokens_are_compared_whole() -> None:
    tokens = Authenticator("secret")
    assert tokens.principal("secret") is not None
    assert all(tokens.principal(wrong) is None for wrong in ("", "secre", "secret ", "SECRET", "\udcff"))
    assert bearer("BEARER x") == "x"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", "/runs", 405)])
async def test_what_is_not_there_is_a_problem(house: House, method: str, path: str, status: int) -> None:
    answer = await house.client.request(method, path)
    assert answer.status_code == status
    assert path in answer.json()["detail"]
    assert status != 405 or answer.headers["Allow"] == "GET"


async def test_a_body_over_the_limit_is_refused_with_and_without_its_length(tmp_path: Path) -> None:
    async with open_house(tmp_path, replace(CONFIG, body_limit_bytes=1000)) as house:
        long = b"x" * 2000

        async def chunks():  # type: ignore[no-untyped-def]
            for _ in range(4):
                yield b"x" * 500

        for path, kind in (("/flows/validate", "text/yaml"), ("/flows/build/runs", "application/json")):
            for content in (long, chunks()):
                answer = await house.client.post(path, content=content, headers={"Content-Type": kind})
                assert answer.status_code == 413
                assert "1000" in answer.json()["detail"]


async def test_a_store_that_is_away_is_503_with_an_id(house: House) -> None:
    await house.store.close()
    answer = await house.client.get("/runs")
    assert answer.status_code == 503
    assert answer.json()["id"]
    ready = await ask(house, "/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "failed")
    assert (await ask(house, "/health/live")).status_code == 200


async def test_a_fault_of_ours_is_500_without_a_trace(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the secret reason")

    house.api.app.state.desk.definition = broken
    ref = await house.started()
    answer = await house.client.get(f"/runs/{ref}")
    assert answer.status_code == 500
    assert "secret reason" not in answer.text
    assert answer.json()["id"] in capsys.readouterr().out


async def test_the_access_log_holds_no_query(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with open_house(tmp_path, replace(CONFIG, access_log=True)) as house:
        await house.client.get("/runs?flow=hidden")
    logged = capsys.readouterr().out
    assert "http.request" in logged
    assert "/api/v1/runs" in logged
    assert "hidden" not in logged
    assert TOKEN not in logged
