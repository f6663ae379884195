"""The dependencies for FastAPI, behind the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse
from session_client import Identity, NoIdentity, RoleRequired, SessionMiddleware, current_identity
from session_client.fastapi import CurrentIdentity, requires_role
from session_client.testing import FakeSessions


@pytest.fixture
def sessions() -> FakeSessions:
    """Who is logged in."""
    return FakeSessions()


@pytest.fixture
def app(sessions: FakeSessions) -> FastAPI:
    """An application with each kind of handler."""
    made = FastAPI()
    made.add_middleware(SessionMiddleware, verify=sessions.averify, public=["/open"])

    async def by_parameter(identity: CurrentIdentity) -> str:
        return identity.username

    def in_a_thread() -> str:
        return current_identity().username

    async def by_role(identity: Annotated[Identity, requires_role("admin", "root")]) -> str:
        return identity.username

    made.get("/parameter")(by_parameter)
    made.get("/thread")(in_a_thread)
    made.get("/role")(by_role)
    made.get("/open")(by_parameter)
    made.get("/listed", dependencies=[requires_role("admin")])(in_a_thread)
    made.get("/misplaced")(_misplaced)
    return made


async def _misplaced() -> str:
    requires_role("admin")
    return "let in"


@pytest.fixture
async def asking(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it."""
    transport: Any = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    """The header with a token."""
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", ["/parameter", "/thread", "/role", "/listed"])
async def test_every_handler_learns_who_asks(
    asking: httpx.AsyncClient, sessions: FakeSessions, path: str
) -> None:
    """By a parameter, or where FastAPI runs it in a thread; nobody without a token gets there."""
    assert (await asking.get(path)).status_code == 401
    admin = bearer(sessions.log_in("ann", roles=["admin"]))
    assert (await asking.get(path, headers=admin)).json() == "ann"


@pytest.mark.parametrize("path", ["/role", "/listed"])
async def test_who_lacks_the_role_gets_403(
    asking: httpx.AsyncClient, sessions: FakeSessions, path: str
) -> None:
    """As the guard's own answers are."""
    answer = await asking.get(path, headers=bearer(sessions.log_in(roles=["user"])))

    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (403, "ROLE_REQUIRED")


async def test_an_application_may_answer_403_in_its_own_way(
    app: FastAPI, asking: httpx.AsyncClient, sessions: FakeSessions
) -> None:
    """By an exception handler, as for all of its exceptions."""

    def answer(_request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse(str(error), 403)

    app.add_exception_handler(RoleRequired, answer)
    assert (await asking.get("/role", headers=bearer(sessions.log_in()))).text.startswith("the user lacks")


async def test_nobody_is_not_let_in(asking: httpx.AsyncClient) -> None:
    """On a public path there is nobody to be told of, which is the application's mistake."""
    with pytest.raises(NoIdentity):
        await asking.get("/open")


async def test_a_check_in_the_wrong_place_is_told(asking: httpx.AsyncClient, sessions: FakeSessions) -> None:
    """Called within a handler the dependency would check nothing, so it lets nobody past."""
    with pytest.raises(RuntimeError, match="require_role"):
        await asking.get("/misplaced", headers=bearer(sessions.log_in(roles=["admin"])))


def test_a_role_is_named() -> None:
    """None would let everybody in, or nobody."""
    with pytest.raises(ValueError, match="at least one"):
        requires_role()
    assert isinstance(requires_role("admin"), type(Depends()))
