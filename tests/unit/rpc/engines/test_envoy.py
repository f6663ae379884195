"""The engine inside Envoy: what it answers; how a call ends otherwise is in test_envoy_ends.py."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
import pytest

from session_service.rpc.boundary import Boundary
from session_service.rpc.http.values import HttpRequest, HttpResponse
from tests.support.asgi import Request, message
from tests.support.waiting import eventually_async
from tests.unit.rpc.engines.conftest import LIMITS

SECRET = "redis://:hunter2@10.0.0.1"


async def echo(request: bytes, _: Any) -> bytes:
    """Answer."""
    return request


async def never(_: bytes, __: Any) -> None:
    """Is not to be asked."""
    raise AssertionError


class Observed:
    """Reasons that the boundary told of."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def call_ended(self, _: str, reason: str, __: float) -> None:
        """Keep the reason."""
        self.reasons.append(reason)


async def test_a_unary_call_is_answered(served: Any) -> None:
    """One message for one, with the status in trailers."""
    served.unary("echo", echo)
    request = await served.call(Request("/t.T/echo", message(b"hello")))
    assert (request.messages, request.status) == ([b"hello"], (0, ""))
    assert (request.http_status, request.headers["content-type"]) == (200, "application/grpc")
    assert not request.only_trailers


async def test_the_request_may_come_in_pieces(served: Any) -> None:
    """Byte by byte, with an empty piece at its end."""
    served.unary("echo", echo)
    pieces = [bytes([byte]) for byte in message(b"hello")]
    request = await served.call(Request("/t.T/echo", *pieces, b""))
    assert (request.messages, request.status) == ([b"hello"], (0, ""))


async def test_a_server_stream_is_answered_by_yielding_or_writing(served: Any) -> None:
    """Either way of grpc.aio; each message leaves when it is there."""

    async def yielding(request: bytes, _: Any) -> AsyncIterator[bytes]:
        yield request
        yield b"2"

    async def writing(request: bytes, context: Any) -> None:
        await context.write(request)
        await context.write(b"2")

    served.server_stream("yielding", yielding)
    served.server_stream("writing", writing)
    for name in ("yielding", "writing"):
        request = await served.call(Request(f"/t.T/{name}", message(b"1")))
        assert (request.messages, request.status) == ([b"1", b"2"], (0, ""))


async def test_an_empty_stream_is_a_good_answer(served: Any) -> None:
    """No message, and OK in trailers."""

    async def nothing(_: bytes, __: Any) -> None:
        return

    served.server_stream("nothing", nothing)
    request = await served.call(Request("/t.T/nothing", message(b"")))
    assert (request.messages, request.status, request.only_trailers) == ([], (0, ""), False)


async def test_a_conversation_goes_to_and_fro(served: Any) -> None:
    """Each message is answered before the next one comes, by iterating or by reading."""

    async def iterating(requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async def reading(_: AsyncIterator[bytes], context: Any) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(request)

    served.bidi("iterating", iterating)
    served.bidi("reading", reading)
    for name in ("iterating", "reading"):
        request = Request(f"/t.T/{name}", ends=False)
        call = served.begin(request)
        for count, text in enumerate([b"a", b"b", b"c"], start=1):
            request.arrive(message(text))
            await eventually_async(partial(_has, request, count))
        request.arrive(b"", last=True)
        await call
        assert (request.messages, request.status) == ([b"a", b"b", b"c"], (0, ""))


async def test_an_unknown_method_is_unimplemented(served: Any) -> None:
    """Of a known service or not; as grpc.aio says it."""
    served.unary("echo", echo)
    for path in ("/t.T/other", "/u.U/echo", "/", "/t.T"):
        request = await served.call(Request(path, message(b"")))
        assert (request.status, request.only_trailers) == ((12, "Method not found!"), True)


@pytest.mark.parametrize("raised", [RuntimeError(SECRET), OSError(SECRET), TimeoutError(SECRET)])
async def test_a_handler_that_raises_tells_nothing(
    served: Any, caplog: pytest.LogCaptureFixture, raised: Exception
) -> None:
    """The caller sees a fixed text, and the log what it was: an error of the network's kind too."""

    async def bug(_: bytes, __: Any) -> bytes:
        raise raised

    served.unary("bug", bug)
    with caplog.at_level(logging.ERROR):
        request = await served.call(Request("/t.T/bug", message(b"")))
    assert request.status == (13, "internal error")
    assert "hunter2" not in repr(request.sent)
    assert any(record.exc_info and SECRET in str(record.exc_info[1]) for record in caplog.records)


async def test_a_stream_that_raises_ends_with_a_status(served: Any) -> None:
    """What was sent stays, and the status is in the trailers."""

    async def bug(_: bytes, __: Any) -> AsyncIterator[bytes]:
        yield b"1"
        raise RuntimeError(SECRET)

    served.server_stream("bug", bug)
    request = await served.call(Request("/t.T/bug", message(b"")))
    assert (request.messages, request.status, request.only_trailers) == (
        [b"1"],
        (13, "internal error"),
        False,
    )


async def test_an_abort_ends_the_call_with_its_status(served: Any) -> None:
    """Code, text and metadata are those given."""

    async def abort(_: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone, 100%", (("x", "1"), ("y-bin", b"\0")))
        return b""

    served.unary("abort", abort)
    request = await served.call(Request("/t.T/abort", message(b"")))
    assert (request.status, request.only_trailers) == ((5, "gone, 100%"), True)
    assert (request.trailers["x"], request.trailers["y-bin"]) == ("1", "AA")


async def test_a_status_that_was_set_outdoes_an_answer(served: Any) -> None:
    """As in grpc.aio a message that is returned beside a status that is not OK is dropped."""

    async def both(_: bytes, context: Any) -> bytes:
        context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
        context.set_details("not now")
        return b"answer"

    served.unary("both", both)
    request = await served.call(Request("/t.T/both", message(b"")))
    assert (request.status, request.messages) == ((9, "not now"), [])


async def test_a_stream_is_refused_at_its_bad_message(served: Any) -> None:
    """Within the boundary, too, a lie in the midst of a stream is told by its own status."""
    statuses = {b"\0\xff\xff\xff\xff": 8, b"\1\0\0\0\0": 3, b"\0\0": 3}

    async def chat(requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    observed = Observed()
    handlers: dict[str, Any] = {"chat": grpc.stream_stream_rpc_method_handler(chat)}
    Boundary((served.engine,), observed, LIMITS).add_registered_method_handlers("t.T", handlers)
    for lie, status in statuses.items():
        request = await served.call(Request("/t.T/chat", message(b"a"), lie))
        assert (request.messages, request.status[0]) == ([b"a"], status)
    reasons = ["RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "INVALID_ARGUMENT"]
    assert observed.reasons == reasons


async def test_each_method_is_held_to_its_own_limit(served: Any) -> None:
    """A batch of tokens may be four times as large as any other request."""
    for service, name, limit in (
        ("t.T", "echo", 1000),
        ("session.v1.SessionService", "BatchVerifyTokens", 4000),
    ):
        handlers: dict[str, Any] = {name: grpc.unary_unary_rpc_method_handler(echo)}
        Boundary((served.engine,), Observed(), LIMITS).add_registered_method_handlers(service, handlers)
        fits = await served.call(Request(f"/{service}/{name}", message(bytes(limit))))
        assert (fits.messages, fits.status[0]) == ([bytes(limit)], 0)
        refused = await served.call(Request(f"/{service}/{name}", message(bytes(limit + 1))))
        assert refused.status == (8, f"the message has {limit + 1} bytes, {limit} are allowed")


async def test_metadata_that_is_no_base64_is_an_invalid_argument(served: Any) -> None:
    """Within the boundary, too: the caller's fault is not taken for the server's."""

    async def look(request: bytes, context: Any) -> bytes:
        context.invocation_metadata()
        return request

    observed = Observed()
    handlers: dict[str, Any] = {"look": grpc.unary_unary_rpc_method_handler(look)}
    Boundary((served.engine,), observed, LIMITS).add_registered_method_handlers("t.T", handlers)
    request = await served.call(Request("/t.T/look", message(b""), headers={"x-bin": "!"}))
    assert request.status == (3, "metadata: metadata in -bin must be base64")
    assert observed.reasons == ["INVALID_ARGUMENT"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x": "y" * 500}, 8),
        ({"te": None}, 3),
        ({"te": "gzip"}, 3),
        ({"grpc-timeout": "soon"}, 3),
        ({"x": "y" * 400}, 0),
        ({"content-type": "application/grpc+proto"}, 0),
    ],
)
async def test_metadata_is_looked_at_first(served: Any, headers: dict[str, str | None], status: int) -> None:
    """Too much of it, no ``te: trailers`` and a bad time-out are refused before the method is asked."""
    served.unary("echo", echo)
    request = await served.call(Request("/t.T/echo", message(b""), headers=headers))
    assert request.status[0] == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 3),
        (b"\0\0", 3),
        (message(b"x")[:-1], 3),
        (message(b"x") + b"\0", 3),
        (message(b"x") * 2, 3),
        (b"\1" + message(b"x")[1:], 3),
        (message(bytes(1001)), 8),
    ],
)
async def test_what_is_not_one_message_is_refused(served: Any, body: bytes, status: int) -> None:
    """None, half a one, two, one that is marked as compressed without an encoding, or too large a one."""
    served.unary("echo", echo)
    served.server_stream("never", never)
    for name in ("echo", "never"):
        request = await served.call(Request(f"/t.T/{name}", body))
        assert request.status[0] == status
        assert request.only_trailers


async def test_an_unknown_encoding_is_refused_with_those_that_are_known(served: Any) -> None:
    """As gRPC's documents have it: UNIMPLEMENTED, with ``grpc-accept-encoding``."""
    served.unary("echo", echo)
    body = b"\1" + message(b"x")[1:]
    request = await served.call(Request("/t.T/echo", body, headers={"grpc-encoding": "br"}))
    assert request.status[0] == 12
    assert request.headers["grpc-accept-encoding"] == "identity,deflate,gzip"


async def test_a_page_is_shown(served: Any) -> None:
    """What is no gRPC is answered by the page of its path, which sees the request."""
    seen: list[HttpRequest] = []

    async def page(request: HttpRequest) -> HttpResponse:
        seen.append(request)
        return HttpResponse(200, (("content-type", "text/plain"),), b"hello")

    served.engine.add_page("/page", page)
    request = await served.call(Request("/page", headers={"content-type": None, "x": "y"}))
    assert (request.http_status, request.body, request.headers) == (
        200,
        b"hello",
        {"content-type": "text/plain", "content-length": "5"},
    )
    assert seen == [HttpRequest("POST", "/page", "", [("te", "trailers"), ("x", "y")])]


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto", "application/grpc-web"])
async def test_a_page_is_shown_whatever_asks_for_it(served: Any, kind: str) -> None:
    """A gateway passes the client's type on, and takes the status of gRPC's answers, 200, for a yes."""

    async def page(_: HttpRequest) -> HttpResponse:
        return HttpResponse(401, (), b"")

    served.engine.add_page("/page", page)
    request = await served.call(Request("/page", headers={"content-type": kind}))
    assert (request.http_status, "grpc-status" in request.headers) == (401, False)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
async def test_a_call_is_a_post(served: Any, method: str) -> None:
    """Any other is told so in plain HTTP, HEAD without a body, which a proxy takes for the next answer."""
    served.unary("echo", echo)
    request = Request("/t.T/echo", message(b"x"))
    request.scope["method"] = method
    await served.call(request)
    assert (request.http_status, "grpc-status" in request.headers) == (415, False)
    assert (request.body == b"") is (method == "HEAD")


async def test_a_page_that_is_not_there_and_one_that_fails(
    served: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """404 and 500 as JSON, of which the latter says nothing of its cause."""

    async def page(_: HttpRequest) -> HttpResponse:
        raise RuntimeError(SECRET)

    served.engine.add_page("/bug", page)
    missing = await served.call(Request("/none", headers={"content-type": "application/json"}))
    failed = await served.call(Request("/bug", headers={"content-type": "application/json"}))
    assert (missing.http_status, failed.http_status) == (404, 500)
    assert b'"code":5' in missing.body
    assert b"hunter2" not in failed.body
    assert "page failed" in caplog.text


async def test_a_page_whose_reader_has_left_is_no_failure(served: Any) -> None:
    """Nobody is told, and nothing is raised into Envoy's module."""
    request = Request("/none", headers={"content-type": None})
    request.leave()
    await served.call(request)
    assert request.sent == []


async def test_metadata_in_many_fields_of_one_name_counts_as_a_whole(served: Any) -> None:
    """No field alone is over the limit, all together they are."""
    served.unary("echo", echo)
    request = Request("/t.T/echo", message(b"x"))
    request.scope["headers"] += [(b"x-many", b"y" * 100)] * 10
    await served.call(request)
    assert request.status[0] == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]


def _has(request: Request, count: int) -> bool:
    return len(request.messages) == count
