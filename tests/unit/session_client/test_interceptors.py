"""Both interceptors, over real gRPC: every shape of method, who is let in, and whose call it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from session_client import (
    AsyncSessionInterceptor,
    DeadlineExceeded,
    NoIdentity,
    ServiceUnavailable,
    SessionClientError,
    SessionInterceptor,
    current_identity,
)
from session_client.testing import FakeSessions

from tests.support import LOOPBACK
from tests.support.errors import Failure, fails

SHAPES = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
ROLES = {"/t.T/admin_only": "admin", "/t.Other/*": ("editor", "admin")}
PUBLIC = ["/t.T/public", "/t.Public/*"]
UNAUTHENTICATED, UNAVAILABLE = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE


def _name() -> bytes:
    return current_identity().username.encode()


class AsyncMethods:
    """Methods that tell the caller's name, twice where they stream."""

    async def unary_unary(self, _request: bytes, _context: object) -> bytes:
        """Once."""
        await asyncio.sleep(0)
        return _name()

    async def unary_stream(self, _request: bytes, _context: object) -> AsyncIterator[bytes]:
        """Twice."""
        for _ in range(2):
            await asyncio.sleep(0)
            yield _name()

    async def stream_unary(self, requests: AsyncIterator[bytes], _context: object) -> bytes:
        """Once, at the end."""
        async for _ in requests:
            pass
        return _name()

    async def stream_stream(self, requests: AsyncIterator[bytes], context: Any) -> None:
        """For each request, by writing."""
        async for _ in requests:
            await context.write(_name())

    async def nobody(self, _request: bytes, _context: object) -> bytes:
        """What a public method learns of its caller."""
        return _who()


class Methods:
    """The same for threads."""

    def unary_unary(self, _request: bytes, _context: object) -> bytes:
        """Once."""
        return _name()

    def unary_stream(self, _request: bytes, _context: object) -> Iterator[bytes]:
        """Twice."""
        for _ in range(2):
            yield _name()

    def stream_unary(self, requests: Iterator[bytes], _context: object) -> bytes:
        """Once, at the end."""
        list(requests)
        return _name()

    def stream_stream(self, requests: Iterator[bytes], _context: object) -> Iterator[bytes]:
        """For each request."""
        for _ in requests:
            yield _name()

    def nobody(self, _request: bytes, _context: object) -> bytes:
        """What a public method learns of its caller."""
        return _who()


def _who() -> bytes:
    try:
        return _name()
    except NoIdentity:
        return b"nobody"


def _handlers(methods: Any) -> list[grpc.GenericRpcHandler]:
    make: Any = grpc
    shaped = {
        shape: getattr(make, f"{shape}_rpc_method_handler")(getattr(methods, shape)) for shape in SHAPES
    }
    unary, nobody = shaped["unary_unary"], make.unary_unary_rpc_method_handler(methods.nobody)
    service = {**shaped, "admin_only": unary, "public": nobody}
    return [
        grpc.method_handlers_generic_handler("t.T", service),
        grpc.method_handlers_generic_handler("t.Other", {"any": unary}),
        grpc.method_handlers_generic_handler("t.Public", {"any": nobody}),
    ]


@pytest.fixture
def sessions() -> FakeSessions:
    """Who is logged in."""
    return FakeSessions()


@pytest.fixture(params=["aio", "aio-functions", "threads"])
async def channel(request: pytest.FixtureRequest, sessions: FakeSessions) -> AsyncIterator[Any]:
    """A channel to a guarded server of either runtime; ``grpc.aio`` runs plain functions too, in threads."""
    if request.param != "threads":
        guard: Any = AsyncSessionInterceptor(sessions.averify, public=PUBLIC, roles=ROLES)
        server: Any = grpc.aio.server(ThreadPoolExecutor(8), interceptors=[guard])
        server.add_generic_rpc_handlers(_handlers(AsyncMethods() if request.param == "aio" else Methods()))
        port = server.add_insecure_port(f"{LOOPBACK}:0")
        await server.start()
    else:
        guard = SessionInterceptor(sessions.verify, public=PUBLIC, roles=ROLES)
        server = grpc.server(ThreadPoolExecutor(8), interceptors=[guard])
        server.add_generic_rpc_handlers(_handlers(Methods()))
        port = server.add_insecure_port(f"{LOOPBACK}:0")
        server.start()
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        yield channel
    stopped = server.stop(None)
    if request.param != "threads":
        await stopped


async def call(channel: Any, shape: str, *tokens: str, method: str = "", says: int = 2) -> list[bytes]:
    """Call a method with such tokens, and as many requests where it takes a stream; what it answered."""
    metadata = [("authorization", f"Bearer {token}") for token in tokens]
    stub = getattr(channel, shape)(method or f"/t.T/{shape}")
    request = iter([b"1"] * says) if shape.startswith("stream") else b"1"
    answer = stub(request, metadata=metadata, timeout=10)
    return [each async for each in answer] if shape.endswith("stream") else [await answer]


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_logged_in_caller_is_served_by_name(channel: Any, sessions: FakeSessions, shape: str) -> None:
    """Whatever the method's shape, its handler learns who calls, from its first piece to its last."""
    tokens = {name: sessions.log_in(name) for name in ("ann", "bob", "eve")}
    names = list(tokens) * 5
    calls = (call(channel, shape, tokens[name]) for name in names)
    for name, answers in zip(names, await asyncio.gather(*calls), strict=True):
        assert set(answers) == {name.encode()}


@pytest.mark.parametrize("shape", SHAPES)
async def test_who_is_not_logged_in_is_refused_with_the_reason(
    channel: Any, sessions: FakeSessions, shape: str
) -> None:
    """Each shape ends at once, with what the session service itself would say."""
    expired, ended = sessions.log_in(), sessions.log_in()
    sessions.expire(expired)
    sessions.log_out(ended)
    for tokens, reason in (
        ([], "TOKEN_MISSING"),
        (["forged"], "TOKEN_INVALID"),
        ([sessions.log_in(), sessions.log_in()], "TOKEN_INVALID"),
        ([expired], "TOKEN_EXPIRED"),
        ([ended], "SESSION_ENDED"),
    ):
        with fails(UNAUTHENTICATED, reason) as failure:
            await call(channel, shape, *tokens, says=0)  # a client that still writes may see no more
        assert failure.domain == "session.v1"


async def test_a_silent_caller_of_a_stream_is_refused_too(channel: Any) -> None:
    """A caller who opens a stream and says nothing does not hang."""
    stream = channel.stream_stream("/t.T/stream_stream")(timeout=10)
    with fails(UNAUTHENTICATED, "TOKEN_MISSING"):
        await stream.read()


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_service_that_is_away_is_neither_yes_nor_no(
    channel: Any, sessions: FakeSessions, shape: str
) -> None:
    """UNAVAILABLE, with a time to try again after."""
    token = sessions.log_in()
    sessions.go_away()
    with fails(UNAVAILABLE, "STORE_UNAVAILABLE") as failure:
        await call(channel, shape, token, says=0)
    assert failure.retry_seconds is not None


async def test_roles_are_needed_where_they_are_named(channel: Any, sessions: FakeSessions) -> None:
    """Of one method or a whole service; one of several is enough."""
    nobody, editor, admin = (sessions.log_in(roles=roles) for roles in ((), ("editor",), ("admin",)))
    for token, method, passes in (
        (nobody, "/t.T/admin_only", False),
        (editor, "/t.T/admin_only", False),
        (admin, "/t.T/admin_only", True),
        (nobody, "/t.Other/any", False),
        (editor, "/t.Other/any", True),
        (nobody, "/t.T/unary_unary", True),
    ):
        if passes:
            assert await call(channel, "unary_unary", token, method=method)
        else:
            with fails(grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED"):
                await call(channel, "unary_unary", token, method=method)


@pytest.mark.parametrize("method", ["/t.T/public", "/t.Public/any"])
async def test_public_methods_ask_nobody(channel: Any, sessions: FakeSessions, method: str) -> None:
    """They are served with any token and without one, and know nobody."""
    sessions.go_away()
    for tokens in ((), ("forged",)):
        assert await call(channel, "unary_unary", *tokens, method=method) == [b"nobody"]


async def test_an_unknown_method_stays_unknown(channel: Any, sessions: FakeSessions) -> None:
    """The guard adds no method."""
    with pytest.raises(grpc.RpcError) as failure:
        await call(channel, "unary_unary", sessions.log_in(), method="/t.T/none")
    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("kind", [ServiceUnavailable, DeadlineExceeded, SessionClientError, OSError])
async def test_whatever_a_verifier_raises_lets_nobody_in(kind: type[Exception]) -> None:
    """Only a TokenError says that nobody is logged in; all else is UNAVAILABLE, and its text goes nowhere."""

    async def verify(_token: str) -> Any:
        raise kind("secret")

    failure = await _refused_by(verify)
    assert failure.code is UNAVAILABLE
    assert "secret" not in failure.message


@pytest.mark.parametrize("answer", [None, True, "ann", object()])
async def test_an_answer_that_is_no_identity_lets_nobody_in(answer: object) -> None:
    """A verifier that answers with anything else is a mistake, and not a yes."""

    async def verify(_token: str) -> Any:
        return answer

    assert (await _refused_by(verify)).code is UNAVAILABLE


async def _refused_by(verify: Callable[[str], Any]) -> Failure:
    server = grpc.aio.server(interceptors=[AsyncSessionInterceptor(verify)])
    server.add_generic_rpc_handlers(_handlers(AsyncMethods()))
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"{LOOPBACK}:{port}") as channel:
            with pytest.raises(grpc.RpcError) as raised:
                await call(channel, "unary_unary", "some-token")
    finally:
        await server.stop(None)
    failure = Failure()
    failure.read(raised.value)
    return failure


@pytest.mark.parametrize("make", [AsyncSessionInterceptor, SessionInterceptor])
def test_mistakes_in_the_rules_are_told(make: Any) -> None:
    """A name that is none, a public method with a role, a role that is missing."""
    for public, roles in (
        (["t.T/x"], {}),
        (["/t.T"], {}),
        ([], {"/t.T/x": ()}),
        ([], {"/t.T/x": ""}),
        (["/t.T/x"], {"/t.T/x": "admin"}),
    ):
        with pytest.raises(ValueError, match=r"method|role|public"):
            make(FakeSessions().verify, public=public, roles=roles)
    with pytest.raises(TypeError, match="not one string"):
        make(FakeSessions().verify, public="/t.T/x")
