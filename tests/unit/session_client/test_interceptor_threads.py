"""What only the guard of threads has: a pool, methods that do not block, and verifiers that do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from session_client import NoIdentity, ServiceUnavailable, SessionInterceptor, current_identity
from session_client.testing import FakeSessions

from tests.support import LOOPBACK
from tests.support.errors import fails


@contextmanager
def serving(
    guard: SessionInterceptor,
    behaviour: Any,
    *,
    threads: int = 1,
    add: Callable[[Any], None] = lambda _: None,
) -> Iterator[Any]:
    """A channel to a server with one method, guarded and public, and what is added to it."""
    pool = ThreadPoolExecutor(threads)
    server = grpc.server(pool, interceptors=[guard])
    handler: Any = grpc.unary_unary_rpc_method_handler(behaviour)
    methods = {"Guarded": handler, "Public": handler}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("t.T", methods)])
    add(server)
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    server.start()
    with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        yield channel
    server.stop(None).wait()
    pool.shutdown()


def test_a_method_that_fails_leaves_nobody_behind() -> None:
    """The next call on the same thread does not take its caller for the one before."""
    sessions, seen = FakeSessions(), []

    def behaviour(request: bytes, _context: object) -> bytes:
        try:
            seen.append(current_identity().username)
        except NoIdentity:
            seen.append("nobody")
        if request:
            raise RuntimeError("as asked")
        return b""

    guard = SessionInterceptor(sessions.verify, public=["/t.T/Public"])
    with serving(guard, behaviour) as channel:
        with pytest.raises(grpc.RpcError):
            channel.unary_unary("/t.T/Guarded")(b"fail", metadata=_bearer(sessions.log_in("ann")))
        channel.unary_unary("/t.T/Public")(b"")
    assert seen == ["ann", "nobody"]


def test_a_slow_check_holds_up_its_own_thread_only() -> None:
    """The thread that takes calls in checks nothing, so that others are served meanwhile."""
    sessions, release, asked = FakeSessions(), threading.Event(), threading.Event()
    slow = sessions.log_in("ann")

    def verify(token: str) -> Any:
        if token == slow:
            asked.set()
            release.wait(20)
        return sessions.verify(token)

    with serving(SessionInterceptor(verify), _name, threads=2) as channel:
        method = channel.unary_unary("/t.T/Guarded")
        waiting = method.future(b"", metadata=_bearer(slow), timeout=20)
        assert asked.wait(20)
        assert method(b"", metadata=_bearer(sessions.log_in("bob")), timeout=20) == b"bob"
        release.set()
        assert waiting.result() == b"ann"


@pytest.mark.parametrize("kind", [ServiceUnavailable, OSError])
def test_whatever_a_verifier_raises_lets_nobody_in(kind: type[Exception]) -> None:
    """UNAVAILABLE, and its text goes nowhere."""

    def verify(_token: str) -> Any:
        raise kind("secret")

    with (
        serving(SessionInterceptor(verify), _name) as channel,
        fails(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE") as failure,
    ):
        channel.unary_unary("/t.T/Guarded")(b"", metadata=_bearer("abc"))
    assert "secret" not in failure.message


def test_an_asynchronous_verifier_lets_nobody_in() -> None:
    """What it answers with is true, but no identity."""
    with (
        serving(SessionInterceptor(lambda _token: [True]), _name) as channel,  # type: ignore[arg-type]
        fails(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"),
    ):
        channel.unary_unary("/t.T/Guarded")(b"", metadata=_bearer("abc"))


def test_grpcs_own_health_service_can_be_guarded() -> None:
    """Its Watch does not block, and is called in another way than all else."""
    sessions = FakeSessions()
    token, servicer = sessions.log_in(), health.HealthServicer()
    request = health_pb2.HealthCheckRequest()

    def add(server: Any) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)

    with serving(SessionInterceptor(sessions.verify), _name, add=add) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(request, metadata=_bearer(token)).status == health_pb2.HealthCheckResponse.SERVING
        watch = stub.Watch(request, metadata=_bearer(token), timeout=60)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        # The one thread is free, as it would be without the guard.
        assert stub.Check(request, metadata=_bearer(token), timeout=10)
        watch.cancel()
        with fails(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING"):
            next(stub.Watch(request, timeout=20))


def _name(_request: bytes, _context: object) -> bytes:
    return current_identity().username.encode()


def _bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]
