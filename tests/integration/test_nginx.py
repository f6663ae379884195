"""A real nginx, by deploy/nginx/gateway.conf, guarded by forward-auth: who gets in, and as whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from tests.support import LOOPBACK, RedisServer, eventually_async, free_port, redis_binaries
from tests.support.gateway import Upstream
from tests.support.http1 import Answer, exchange
from tests.support.in_process import ServiceUnderTest, in_process, patient_with
from tests.support.nginx import Nginx

IDENTITY: Final = ("x-user-id", "x-username", "x-session-id", "x-user-roles")
SPOOFED: Final = (
    ("X-User-Id", "root"),
    ("x-username", "root"),
    ("x-user-roles", "admin"),
    ("x_user_id", "root"),
)
AUTHZ: Final = {"enabled": True, "cookie": "session", "public_paths": ["/public/*"]}

Get: TypeAlias = Callable[..., "asyncio.Future[Answer]"]


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A Redis of the test's own; which one it is makes no difference here."""
    with RedisServer(redis_binaries()[0]) as server:
        yield server


@pytest.fixture
async def guard(redis: RedisServer, tmp_path: Path, engine: str) -> AsyncIterator[ServiceUnderTest]:
    """The service on either engine; it gives up on Redis before nginx gives up on it."""
    section = patient_with(redis) | {"command_timeout": 1}
    async with in_process(section, tmp_path, authz=AUTHZ) as service:
        yield service


@pytest.fixture
async def get(guard: ServiceUnderTest) -> AsyncIterator[Get]:
    """A function that asks nginx for a target, with a token if there is one and further headers."""
    with Upstream() as upstream, Nginx(guard.http_address, upstream.address) as nginx:

        def get(target: str, token: str | None = None, *headers: tuple[str, str]) -> asyncio.Future[Answer]:
            own = () if token is None else (("authorization", f"Bearer {token}"),)
            return asyncio.ensure_future(asyncio.to_thread(exchange, nginx.address, target, (*own, *headers)))

        yield get


def _identity(answer: Answer) -> dict[str, str]:
    """Who upstream was told makes the request."""
    assert answer.status == 200, answer
    told: dict[str, str] = answer.json()["headers"]
    return {name: value for name, value in told.items() if name.replace("_", "-") in IDENTITY}


async def test_a_good_token_is_let_through_as_its_user(guard: ServiceUnderTest, get: Get) -> None:
    """By header or cookie; what the client says of itself is replaced."""
    opened = await guard.open_session(roles=["editor"])
    who = {
        "x-user-id": "u-1",
        "x-username": "ada",
        "x-session-id": opened.session_id,
        "x-user-roles": "editor",
    }
    assert _identity(await get("/x", opened.access_token, *SPOOFED)) == who
    assert _identity(await get("/x", None, ("cookie", f"session={opened.access_token}"))) == who


async def test_where_nobody_is_known_nobody_is_named(guard: ServiceUnderTest, get: Get) -> None:
    """On public and on unguarded paths, and roles where the user has none, a client's own are removed."""
    assert _identity(await get("/public/x", None, *SPOOFED)) == {}
    assert _identity(await get("/open/x", None, *SPOOFED)) == {}
    opened = await guard.open_session()
    assert "x-user-roles" not in _identity(await get("/x", opened.access_token, *SPOOFED))


async def test_without_a_good_token_nobody_gets_in(guard: ServiceUnderTest, get: Get) -> None:
    """401 with what is asked for: none, a bad one, two, one whose session has ended."""
    token = (await guard.open_session()).access_token
    missing = await get("/x")
    assert (missing.status, missing.headers["www-authenticate"]) == (401, 'Bearer realm="session-service"')
    twice = await get("/x", None, ("cookie", f"session={token}; session=x"))
    assert (await get("/x", token)).status == 200
    await guard.logout(token)
    for answer in (await get("/x", "bad"), twice, await get("/x", token)):
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')


async def test_a_location_that_needs_a_role(guard: ServiceUnderTest, get: Get) -> None:
    """403 without it, in any spelling of the path; 200 with it."""
    plain, admin = [
        (await guard.open_session(user_id, roles=roles)).access_token
        for user_id, roles in (("u-1", ["editor"]), ("u-2", ["admin"]))
    ]
    for target in ("/admin/x", "/Admin", "/%61dmin/x"):
        assert (await get(target, plain)).status == 403
        assert (await get(target, admin)).status == 200


@pytest.mark.parametrize(
    "target",
    [
        "/admin;/x",
        "/admin%3B/x",
        "//open/admin",
        "/x/../admin/",
        "/admin/../open/x",
        "/admin/%2E./open/x",
        "/admin/..%2fopen/x",
        "/open/..\\admin",
        "/open/..%5Cadmin",
        "/open/#/../../admin",
        "/admin/x/../../open/..",
        "/open/.?",
    ],
)
async def test_a_path_that_may_be_read_as_another_is_refused(get: Get, target: str) -> None:
    """Else nginx's location is not that of the server behind, which is sent what the client wrote."""
    assert (await get(target)).status == 400


async def test_a_path_that_is_read_in_one_way_only_is_passed_on(get: Get) -> None:
    """Dots within a name, and anything after the question mark."""
    for target in ("/open/a..b/.well-known/%2Ex", "/open/x?y=//../%2f;#", "/open/...", "/open/%C3%A9%20"):
        assert (await get(target)).json()["path"] == target


@pytest.mark.parametrize(
    "kind", ["application/grpc", "application/grpc-web", "application/grpc-web-text+proto"]
)
async def test_no_kind_of_request_opens_anything(get: Get, kind: str) -> None:
    """A request that says it is gRPC is one of its client to nginx, and asks nothing else of the service."""
    for target in ("/x", "/admin/x"):
        assert (await get(target, None, ("content-type", kind), ("te", "trailers"))).status == 401


@pytest.mark.parametrize(
    "target",
    [
        "/public/../x",
        "/public/%2e%2e/x",
        "/public/..%2fx",
        "/public//x",
        "/public",
        "/publicx",
        "/x?/public/",
    ],
)
async def test_no_trick_makes_a_path_public(get: Get, target: str) -> None:
    """Nor does a header that the client sends in place of nginx."""
    for headers in ([], [("x-original-uri", "/public/x")], [("x-forwarded-uri", "/public/x")]):
        assert (await get(target, None, *headers)).status in {400, 401}


async def test_a_store_that_is_away_says_neither(
    guard: ServiceUnderTest, get: Get, redis: RedisServer
) -> None:
    """503 with the time to wait, and 200 again once it is back; what is public goes on."""
    token = (await guard.open_session()).access_token
    assert (await get("/x", token)).status == 200
    redis.pause()
    for target in ("/x", "/admin/x"):
        answer = await get(target, token)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert (await get("/x")).status == 401
    assert (await get("/public/x")).status == 200
    redis.resume()

    async def back() -> bool:
        return (await get("/x", token)).status == 200

    assert await eventually_async(back, timeout=20)


async def test_a_service_that_is_away_opens_nothing() -> None:
    """503 likewise, on public paths too, for it is the service that knows them."""
    nobody = f"{LOOPBACK}:{free_port()}"
    with Upstream() as upstream, Nginx(nobody, upstream.address) as nginx:
        for target in ("/x", "/public/x", "/admin/x"):
            answer = await asyncio.to_thread(exchange, nginx.address, target)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert (await asyncio.to_thread(exchange, nginx.address, "/open/x")).status == 200
