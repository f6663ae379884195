"""A call on the native engine as servicers see it: what ``grpc.aio.ServicerContext`` promises."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from session_service.engines.native.call import NativeCall
from tests.support.native_engine import FakeCall

# What the engine does with a call, besides.
_OF_THE_ENGINE = {
    *("answer", "arrived", "cut_off", "end", "ended", "gone", "leave", "messages", "next_message"),
    *("only_message", "overdue", "serve_by", "speak", "writable"),
}


def public(kind: type) -> set[str]:
    """The names that a class offers."""
    return {name for name in dir(kind) if not name.startswith("_")}


async def ask(served: Any, question: Callable[[NativeCall], Any], **request: Any) -> Any:
    """Ask the context of one call."""
    answers: list[Any] = []

    async def method(raw: bytes, context: NativeCall) -> bytes:
        answers.append(question(context))
        return raw

    served.unary("ask", method)
    await served.start()
    await served.call("ask", **request)
    return answers[0]


def test_it_has_all_that_a_servicer_context_has() -> None:
    """Each public name of grpc's context is there, and nothing else that a servicer might take for one."""
    assert public(grpc.aio.ServicerContext) - public(NativeCall) == set()
    assert public(NativeCall) - public(grpc.aio.ServicerContext) == _OF_THE_ENGINE


@pytest.mark.parametrize("secure", [False, True])
async def test_without_a_certificate_nothing_is_known_of_the_client(served: Any, *, secure: bool) -> None:
    """Nobody, over TLS too."""
    known = {"transport_security_type": [b"ssl"]} if secure else {}

    def asked(context: NativeCall) -> Any:
        return context.auth_context(), context.peer_identities(), context.peer_identity_key()

    assert await ask(served, asked, secure=secure) == (known, None, None)


async def test_what_is_no_certificate_names_nobody(served: Any) -> None:
    """Whatever its bytes are."""
    assert await ask(served, NativeCall.peer_identities, secure=True, der=b"\x30\x00") is None


async def test_metadata_is_in_order_without_the_protocols_own(served: Any) -> None:
    """Bytes for ``-bin``, and nothing of HTTP."""
    fields = [(b"te", b"trailers"), (b"b", b"2"), (b"a", b"1"), (b"c-bin", b"AAE"), (b"grpc-timeout", b"5S")]
    expected = (("b", "2"), ("a", "1"), ("c-bin", b"\0\1"))
    assert await ask(served, NativeCall.invocation_metadata, fields=fields) == expected


async def test_the_time_that_remains(served: Any) -> None:
    """Seconds until the deadline, never less than none; ``None`` without."""
    assert await ask(served, NativeCall.time_remaining) is None
    late: list[float | None] = []
    soon: list[float | None] = []

    async def note(raw: bytes, context: NativeCall) -> bytes:
        (soon if raw else late).append(context.time_remaining())
        return raw

    served.server._methods[0]._behaviour = note
    await served.call("ask", b"soon", deadline=time.monotonic() + 5)
    await served.call("ask", b"", deadline=time.monotonic() - 5)
    assert late == [0.0]
    assert soon[0] is not None
    assert 4 < soon[0] <= 5


async def test_initial_metadata_leaves_ahead_and_trailing_at_the_end(served: Any) -> None:
    """Around the message."""

    async def method(raw: bytes, context: NativeCall) -> bytes:
        await context.send_initial_metadata((("x-early", "1"),))
        context.set_trailing_metadata((("x-late-bin", b"\xff"),))
        return raw

    served.unary("both", method)
    await served.start()
    call: FakeCall = await served.call("both", b"x")
    assert (call.initial, call.pieces) == ([(b"x-early", b"1")], [b"x"])
    assert call.trailers == [(b"x-late-bin", b"/w")]


async def test_another_status_than_ok_drops_the_message(served: Any) -> None:
    """As on grpc.aio."""

    async def method(raw: bytes, context: NativeCall) -> bytes:
        context.set_code(grpc.StatusCode.ABORTED)
        context.set_details(json.dumps("again"))
        return raw

    served.unary("aborted", method)
    await served.start()
    call: FakeCall = await served.call("aborted", b"x")
    assert (call.status, call.pieces) == ((10, '"again"'), [])
