"""A call inside Envoy as servicers see it: what ``grpc.aio.ServicerContext`` promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import Any

import grpc
import pytest

from session_service.rpc.engines.envoy_call import EnvoyCall
from tests.support.asgi import Request, message
from tests.support.waiting import eventually_async

Ask = Callable[..., Awaitable[Any]]
# What the engine does with a call, besides.
_OF_THE_ENGINE = {
    *(
        "answer",
        "beat",
        "cut_off",
        "deadline",
        "end",
        "end_with",
        "gone",
        "messages",
        "metadata_size",
        "next_message",
        "only_message",
    ),
    *("overdue", "speak", "write_framed"),
}


def public(kind: type) -> set[str]:
    """The names that a class offers."""
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.fixture
def ask(served: Any) -> Ask:
    """A function that has a question asked of the call's context; further arguments as for ``Request``."""
    numbers = count()

    async def ask(question: Callable[[EnvoyCall], Any], **request: Any) -> Any:
        answers: list[Any] = []

        async def method(raw: bytes, context: EnvoyCall) -> bytes:
            answers.append(question(context))
            return raw

        name = f"ask{next(numbers)}"
        served.unary(name, method)
        await served.call(Request(f"/t.T/{name}", message(b""), **request))
        return answers[0]

    return ask


def test_it_has_all_that_a_servicer_context_has() -> None:
    """Each public name of grpc's context is there, and nothing else that a servicer might take for one."""
    assert public(grpc.aio.ServicerContext) - public(EnvoyCall) == set()
    assert public(EnvoyCall) - public(grpc.aio.ServicerContext) == _OF_THE_ENGINE


@pytest.mark.parametrize(
    ("client", "peer"),
    [
        (("10.1.2.3", 4567), "ipv4:10.1.2.3:4567"),
        (("::1", 4567), "ipv6:%5B::1%5D:4567"),
        (("2001:db8::7", 1), "ipv6:%5B2001:db8::7%5D:1"),
        (None, "unix:"),
    ],
)
async def test_the_peer_is_spelled_as_grpc_does(ask: Ask, client: Any, peer: str) -> None:
    """By family, an IPv6 address in percent-encoded brackets."""
    assert await ask(EnvoyCall.peer, client=client) == peer


async def test_without_tls_nothing_is_known_of_the_client(ask: Ask) -> None:
    """As of grpc.aio on a port without TLS there is no identity."""
    assert await ask(EnvoyCall.auth_context) == {}
    assert await ask(EnvoyCall.peer_identities) is None
    assert await ask(EnvoyCall.peer_identity_key) is None


@pytest.mark.parametrize("tls", [{}, {"client_cert_name": None}, {"client_cert_name": ""}])
async def test_with_tls_alone_the_client_has_no_name(ask: Ask, tls: dict[str, Any]) -> None:
    """Whoever shows no certificate is nobody."""
    assert await ask(EnvoyCall.auth_context, tls=tls) == {"transport_security_type": [b"ssl"]}
    assert await ask(EnvoyCall.peer_identities, tls=tls) is None


async def test_the_name_in_the_clients_certificate_is_known(ask: Ask) -> None:
    """Under the keys of grpc.aio."""
    tls = {"client_cert_name": "CN=billing,O=Acme"}
    context = {"transport_security_type": [b"ssl"], "x509_common_name": [b"billing"]}
    assert await ask(EnvoyCall.auth_context, tls=tls) == context
    assert await ask(EnvoyCall.peer_identities, tls=tls) == [b"billing"]
    assert await ask(EnvoyCall.peer_identity_key, tls=tls) == "x509_common_name"


async def test_metadata_is_in_order_without_the_protocols_own(ask: Ask) -> None:
    """Bytes for ``-bin``, and nothing of HTTP."""
    headers = {"b": "2", "a": "1", "c-bin": "AAE", "grpc-timeout": "5S"}
    expected = (("b", "2"), ("a", "1"), ("c-bin", b"\0\1"))
    assert await ask(EnvoyCall.invocation_metadata, headers=headers) == expected


async def test_the_time_that_remains_is_told(ask: Ask) -> None:
    """Seconds until the deadline, never less than none; ``None`` without."""
    assert await ask(EnvoyCall.time_remaining) is None
    assert 4 < await ask(EnvoyCall.time_remaining, headers={"grpc-timeout": "5S"}) <= 5
    assert await ask(EnvoyCall.time_remaining, headers={"grpc-timeout": "0S"}) == 0


async def test_what_was_set_can_be_asked(ask: Ask) -> None:
    """Code, text and trailing metadata are kept as given, and are nothing before."""

    def asked(context: EnvoyCall) -> Any:
        before = (context.code(), context.details(), context.trailing_metadata())
        context.set_code(grpc.StatusCode.OK)
        context.set_details("fine")
        context.set_trailing_metadata((("x", "1"),))
        return before, (context.code(), context.details(), tuple(context.trailing_metadata()))

    nothing, something = await ask(asked)
    assert nothing == (None, "", ())
    assert something == (grpc.StatusCode.OK, "fine", (("x", "1"),))


async def test_a_failure_without_an_answer_is_trailers_only(served: Any) -> None:
    """Status and metadata are in the headers, without a body: one frame of HTTP/2."""

    async def fail(_: bytes, context: EnvoyCall) -> None:
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_trailing_metadata((("x", "1"),))

    served.unary("fail", fail)
    request = await served.call(Request("/t.T/fail", message(b"")))
    assert (request.only_trailers, request.status, request.headers["x"]) == (True, (5, ""), "1")
    assert len(request.sent) == 2


async def test_after_initial_metadata_the_status_is_in_trailers(served: Any) -> None:
    """Metadata sent ahead is in the headers, at once; what is set later comes at the end."""

    async def fail(_: bytes, context: EnvoyCall) -> None:
        await context.send_initial_metadata((("early", "1"), ("early-bin", b"\1")))
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_trailing_metadata((("late", "1"),))

    served.unary("fail", fail)
    request = await served.call(Request("/t.T/fail", message(b"")))
    assert (request.headers["early"], request.headers["early-bin"]) == ("1", "AQ")
    assert "late" not in request.headers
    assert (request.only_trailers, request.status, request.trailers["late"]) == (False, (5, ""), "1")


async def test_an_answer_may_have_metadata_at_both_ends(served: Any) -> None:
    """The message, and the status OK with what was set."""

    async def answer(request: bytes, context: EnvoyCall) -> bytes:
        await context.send_initial_metadata((("early", "1"),))
        context.set_trailing_metadata((("late", "1"),))
        context.set_details("as ever: 100%")
        return request

    served.unary("answer", answer)
    request = await served.call(Request("/t.T/answer", message(b"x")))
    assert (request.headers["early"], request.trailers["late"]) == ("1", "1")
    assert (request.messages, request.status) == ([b"x"], (0, "as ever: 100%"))


async def test_an_abort_with_a_status_is_an_abort(served: Any) -> None:
    """The form that takes a ``grpc.Status``; what was set as trailing metadata before stays."""

    class Status:
        code, details, trailing_metadata = grpc.StatusCode.ABORTED, "again", None

    async def abort(_: bytes, context: EnvoyCall) -> None:
        context.set_trailing_metadata((("x", "1"),))
        await context.abort_with_status(Status)

    served.unary("abort", abort)
    request = await served.call(Request("/t.T/abort", message(b"")))
    assert (request.status, request.trailers["x"]) == ((10, "again"), "1")


async def test_a_request_is_read_as_far_as_it_is_there(served: Any) -> None:
    """A message of a stream is given before the next has come, and the end as grpc.aio tells it."""
    got: list[Any] = []

    async def reading(_: AsyncIterator[bytes], context: EnvoyCall) -> None:
        while True:
            got.append(await context.read())
            if got[-1] is grpc.aio.EOF:
                return

    served.bidi("read", reading)
    call = served.begin(request := Request("/t.T/read", message(b"a") + message(b"b")[:3], ends=False))
    await eventually_async(lambda: got == [b"a"])
    request.arrive(message(b"b")[3:], last=True)
    await call
    assert got == [b"a", b"b", grpc.aio.EOF]


async def test_compression_is_a_wish(ask: Ask) -> None:
    """It may be asked for, and changes nothing."""
    assert await ask(lambda context: context.set_compression(grpc.Compression.Gzip)) is None
    assert await ask(EnvoyCall.disable_next_message_compression) is None


async def test_the_end_of_a_call_is_told(served: Any) -> None:
    """Whoever asked for it is called once the call has ended; one that was cancelled knows so."""
    told: list[tuple[bool, bool]] = []

    async def method(raw: bytes, context: EnvoyCall) -> bytes:
        assert not context.done()
        assert not context.cancelled()
        context.add_done_callback(lambda call: told.append((call.done(), call.cancelled())))
        if raw == b"wait":
            await asyncio.Event().wait()
        return raw

    served.unary("method", method)
    await served.call(Request("/t.T/method", message(b"")))
    await served.call(Request("/t.T/method", message(b"wait"), headers={"grpc-timeout": "1m"}))
    await eventually_async(lambda: len(told) == 2)
    assert told == [(True, False), (True, True)]
