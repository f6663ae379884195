"""An engine alone, over real sockets, and Python behind it that echoes, hangs and streams."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, Self

try:
    import session_service_engine
except ImportError:
    session_service_engine = None  # type: ignore[assignment]

package = session_service_engine
"""What is tested; ``None`` where it is not built."""
BUILT: Final = package is not None

if TYPE_CHECKING:
    from collections.abc import Callable

    from session_service_engine import Call, Engine

# Not of tests.support, whose import takes seconds: programs of their own import this.
LOOPBACK: Final = "127.0.0.1"

MESSAGE_BYTES: Final = 32_768
BODY_BYTES: Final = 65_536
METADATA_BYTES: Final = 16_384

ECHO: Final = "/t.S/Echo"
"""Unary: answers with the message; see ``_unary`` for messages that mean something."""
CHAT: Final = "/t.S/Chat"
"""Streams: answers each message with itself, and ends when the request does."""
FEED: Final = "/t.S/Feed"
"""Streams: sends 16 KiB again and again, as fast as they are taken."""
MUTE: Final = "/t.S/Mute"
"""Streams: takes no message and sends none."""

_METHODS: Final = [
    (ECHO, False, MESSAGE_BYTES),
    (CHAT, True, MESSAGE_BYTES),
    (FEED, True, MESSAGE_BYTES),
    (MUTE, True, MESSAGE_BYTES),
]
PIECE: Final = b"f" * 16_384

DEFAULTS: Final[dict[str, Any]] = {
    "methods": _METHODS,
    "pages": ["/authz", "/pages/*"],
    "body_bytes": BODY_BYTES,
    "larger_bodies": {"/large": 4 * BODY_BYTES},
    "metadata_bytes": METADATA_BYTES,
    "open_calls": 5_000,
    "connections": 1_000,
    "streams": 1_000,
    "handshake_seconds": 5.0,
    "request_seconds": 5.0,
    "response_seconds": 20.0,
    "idle_seconds": 60.0,
    "age_seconds": 600.0,
    "age_grace_seconds": 5.0,
    "ping_seconds": 60.0,
    "ping_timeout_seconds": 20.0,
}


class Carrier:
    """Serves on a port of its own within a ``with``; takes on the running event loop.

    Args:
        **settings: of ``Engine``, where they differ from ``DEFAULTS``.
    """

    def __init__(self, **settings: Any) -> None:
        self.engine: Engine = package.Engine(**(DEFAULTS | settings))
        self.calls: list[Call] = []
        """Everything that was taken."""
        self._paths: dict[int, str] = {}
        self.events: dict[int, list[tuple[int, Any]]] = defaultdict(list)
        """Of each call: kind, what it brought."""
        self.on_call: Callable[[Call], None] = self.serve
        """What is done with a call; a test may have another way."""
        self.taking = True
        """Whether what waits is taken at once."""
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        self.port = self.listen()
        self.address = f"{LOOPBACK}:{self.port}"
        self._loop.add_reader(self.engine.fileno(), self._take)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self.engine.fileno())
        self.engine.shut_down()

    def listen(self, host: str = LOOPBACK, family: int = socket.AF_INET) -> int:
        """Listen on one more port of TCP."""
        listener = socket.socket(family)
        listener.bind((host, 0))
        listener.listen(1_024)
        port: int = listener.getsockname()[1]
        self.engine.listen(listener.detach())
        return port

    @property
    def counts(self) -> dict[str, int]:
        """What the engine counts."""
        return dict(self.engine.counts())

    def count(self, name: str) -> int:
        """One of the engine's counts."""
        return self.counts[name]

    def messages(self) -> list[bytes]:
        """Of the calls that were taken."""
        return [call.message for call in self.calls]

    def gone(self) -> list[bool]:
        """What the calls' ends were that nobody waited for any more: whether overdue."""
        brought = [event for events in self.events.values() for event in events]
        return [bool(what) for kind, what in brought if kind == package.GONE]

    def count_events(self, kind: int) -> int:
        """How many events of a kind came."""
        return sum(what[0] == kind for events in self.events.values() for what in events)

    def _take(self) -> None:
        if not self.taking:
            self.engine.hush()
            return
        calls, events = self.engine.take()
        for call in calls:
            self.calls.append(call)
            self._paths[call.id] = call.path
            self.on_call(call)
        for number, kind, what in events:
            self.events[number].append((kind, what))
            self._react(number, kind, what)

    def serve(self, call: Call) -> None:
        """Answer as each method and path is described."""
        if call.fault and call.kind != package.HTTP:
            self.engine.finish(call.id, 3, ": ".join(call.fault))
        elif call.kind == package.UNARY:
            self._unary(call)
        elif call.kind == package.HTTP:
            self._http(call)
        elif call.path != MUTE:
            self.engine.start(call.id, [(b"x-initial", b"1")])
            if call.path == CHAT:
                self.engine.more(call.id)
            else:
                self.engine.write(call.id, PIECE)

    def leave(self, call: Call) -> None:
        """What is done with a call that is left unanswered."""

    def _unary(self, call: Call) -> None:
        if call.message == b"hang":
            return
        if call.message == b"fail":
            pairs = [(b"x-trailing", b"2"), (b"x-bytes-bin", b"AAE")]
            self.engine.finish(call.id, 16, "größer als 50 %\r\n", pairs, [(b"x-initial", b"1")])
        elif call.message == b"metadata":
            initial = [(b"x-initial", b"1")]
            self.engine.finish(call.id, 0, "", [(b"x-trailing", b"2")], initial, b"metadata")
        elif call.message.startswith(b"big"):
            self.engine.answer([(call.id, b"b" * int(call.message[3:]))])
        else:
            self.engine.answer([(call.id, call.message)])

    def _http(self, call: Call) -> None:
        if call.path == "/hang":
            return
        if call.path == "/pieces":
            self.engine.start(call.id, [(b"content-type", b"text/plain")])
            self.engine.write(call.id, call.query.encode())
        elif call.path == "/feed":
            self.engine.start(call.id, [])
            self.engine.write(call.id, PIECE)
        elif call.path == "/abort":
            self.engine.abort(call.id)
        elif call.path == "/big":
            self.engine.respond(call.id, 200, [], b"b" * int(call.query))
        else:
            status = 400 if call.fault else 200
            self.engine.respond(call.id, status, [(b"content-type", b"application/json")], told(call))

    def _react(self, number: int, kind: int, what: Any) -> None:
        path = self._paths[number]
        if kind == package.MESSAGES:
            self.engine.write(number, b"+".join(what))
        elif kind == package.END and path == CHAT:
            self.engine.finish(number, 0 if what is None else 3, "" if what is None else str(what))
        elif kind == package.WRITABLE:
            if path in {FEED, "/feed"}:
                self.engine.write(number, PIECE)
            elif path == "/pieces":
                self.engine.close(number)
            else:
                self.engine.more(number)


def told(call: Call) -> bytes:
    """What a call of plain HTTP was, in JSON."""
    return json.dumps(
        {
            "verb": call.verb,
            "path": call.path,
            "query": call.query,
            "body": call.message.decode("latin-1"),
            "fault": call.fault,
            "host": call.values("host"),
        }
    ).encode()
