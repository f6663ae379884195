"""What the Rust half of the package offers to Python: one class that carries calls, and one a call."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, final

UNARY: Final[int]
"""``Call.kind``: gRPC, one message in; answered once."""
STREAM: Final[int]
"""``Call.kind``: gRPC, messages in as ``Event``s; answered by ``start``, ``write`` and ``finish``."""
HTTP: Final[int]
"""``Call.kind``: HTTP with its whole body; answered by ``respond``, or ``start``, ``write``, ``close``."""

MESSAGES: Final[int]
"""Event: the next messages of a ``STREAM``, a list of ``bytes``; none come before ``more`` asks for them."""
END: Final[int]
"""Event: the request of a ``STREAM`` has ended; a ``Fault`` where it did so in a way that gRPC forbids."""
WRITABLE: Final[int]
"""Event: what ``write`` gave has been taken by HTTP's flow control; ``None``."""
GONE: Final[int]
"""Event: nobody waits for the answer: ``True`` = the deadline has passed, ``False`` = the client left."""

__version__: Final[str]

Fault: TypeAlias = tuple[str, str]
"""What is wrong with a request: a kind (below), and a text that may be shown to the caller.

``malformed_request``, ``malformed_metadata``, ``message_too_large``, ``metadata_too_large``,
``unknown_encoding``, ``unknown_method``, ``late`` (the request did not arrive in time).
"""

Pairs: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Header fields: names in lower case; values as they are sent."""

Event: TypeAlias = tuple[int, int, object]
"""Id of the call, kind of the event, what it brings."""

@final
class Call:
    """One request. Made while it is taken; all fields are read-only."""

    id: int
    """Never used twice by one engine."""
    kind: int
    method: int
    """Place of a gRPC method in ``Engine(methods=…)``; -1 for HTTP and for a method that is not there."""
    path: str
    """The path without its query, as it was sent."""
    query: str
    """What follows the question mark, as it was sent; may be empty."""
    verb: str
    """The method of HTTP, such as ``GET``."""
    message: bytes
    """``UNARY``: the message, inflated. ``HTTP``: the body. ``STREAM``: empty."""
    fault: Fault | None
    """Set where the request cannot be served; the message is empty then."""
    arrived: float
    """``time.monotonic()`` when the header fields were there."""
    deadline: float
    """``time.monotonic()`` at which the call ends with DEADLINE_EXCEEDED; ``inf`` without one."""
    web: bool
    """Whether it came as gRPC-Web."""
    secure: bool
    """Whether it came over TLS."""
    peer: str
    """The connection's other end as gRPC spells it: ``ipv4:1.2.3.4:5``, ``ipv6:%5B::1%5D:5``, ``unix:``."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """All header fields in order, pseudo-headers left out (``:authority`` is ``host``)."""

    def values(self, name: str) -> list[str]:
        """The values of one field, in order, read as ISO-8859-1."""

    def certificate(self) -> bytes | None:
        """The client's certificate in DER, verified; ``None`` without one."""

@final
class Reply:
    """A whole response of plain HTTP, made once and sent many times."""

@final
class Engine:
    """Carries HTTP/1.1, HTTP/2, gRPC and gRPC-Web between sockets and one thread of Python.

    Made after a fork, once a process. A thread of its own moves the bytes; it holds no Python object and
    never takes the GIL. All methods are for the one thread that takes.

    Args:
        methods: gRPC methods: path, whether its requests or responses stream, bytes that a message may have.
        pages: paths that are never gRPC, whatever their request says; one that ends in ``*`` stands for all
            that begin so.
        body_bytes: bytes that a body of plain HTTP may have.
        larger_bodies: the same for some paths.
        metadata_bytes: bytes that the header fields of a request and its target may have.
        open_calls: requests that may be open at once; more are refused by HTTP or gRPC status alone.
        connections: connections that may be open at once; more are closed at once.
        streams: requests that may be open at once on one connection.
        handshake_seconds: for TLS, for the first bytes, and for each request's header fields.
        request_seconds: for a request that is no stream to arrive.
        response_seconds: from a plain HTTP request's arrival to the beginning of its answer, 504 after that.
        idle_seconds: that a connection may be without a request.
        age_seconds, age_grace_seconds: after the first, a tenth more or less, a connection is told to end
            (GOAWAY, ``connection: close``), after the second it is ended with what is open on it.
        ping_seconds, ping_timeout_seconds: how often a client of HTTP/2 is asked whether it lives, and how
            long any client may take nothing: no ping, no bytes that are ready, no part of a whole answer.

    Raises:
        OSError: the thread or its wake-up cannot be made.
    """

    def __init__(
        self,
        *,
        methods: Sequence[tuple[str, bool, int]],
        pages: Sequence[str],
        body_bytes: int,
        larger_bodies: Mapping[str, int],
        metadata_bytes: int,
        open_calls: int,
        connections: int,
        streams: int,
        handshake_seconds: float,
        request_seconds: float,
        response_seconds: float,
        idle_seconds: float,
        age_seconds: float,
        age_grace_seconds: float,
        ping_seconds: float,
        ping_timeout_seconds: float,
    ) -> None: ...
    def use_certificate(
        self, chain: bytes, key: bytes, client_roots: bytes | None, *, required: bool
    ) -> None:
        """Serve TLS 1.2 and 1.3 to connections that come from now on, with these PEM files.

        Raises:
            ValueError: they are no usable pair; what was served before is served on.
        """

    def listen(self, descriptor: int) -> None:
        """Accept connections on a listening socket, TCP or unix.

        Its descriptor is the engine's from now on; one that can accept nothing ends the process.
        """

    def fileno(self) -> int:
        """Readable while something waits to be taken."""

    def hush(self) -> None:
        """Make ``fileno`` unreadable until something comes after the next ``take``."""

    def take(self, *, hushed: bool = False) -> tuple[list[Call], list[Event]]:
        """Everything that waits; to be called once ``fileno`` is readable.

        Args:
            hushed: keep ``fileno`` unreadable, whatever comes, until ``quiet`` has said that nothing waits:
                who takes again before waiting saves both sides the wake-up.
        """

    def quiet(self) -> bool:
        """Whether nothing waits to be taken; if so, what comes next makes ``fileno`` readable."""

    def answer(self, answers: Sequence[tuple[int, bytes | Reply]]) -> None:
        """End ``UNARY`` calls with OK and a message, calls of ``HTTP`` with a reply, each by its id.

        Here and elsewhere an id that is gone is passed over.
        """

    def finish(
        self,
        call: int,
        code: int,
        text: str,
        trailers: Pairs = (),
        initial: Pairs = (),
        message: bytes | None = None,
    ) -> None:
        """End a gRPC call with a status.

        Args:
            call: its id.
            code: of gRPC; 0 = OK.
            text: the status message; percent-encoded here.
            trailers: metadata to end with, base64 done.
            initial: header fields, where the response has not begun.
            message: the response of a ``UNARY`` call.
        """

    def reply(self, status: int, headers: Pairs, body: bytes) -> Reply:
        """A response for ``answer``; as ``respond``, without a call.

        Raises:
            ValueError: a header field is none.
        """

    def respond(self, call: int, status: int, headers: Pairs, body: bytes) -> None:
        """Answer plain HTTP whole; ``content-length`` is set here and the body kept back where HEAD asks."""

    def start(self, call: int, headers: Pairs, status: int = 200) -> None:
        """Begin a response that streams; of gRPC the header fields that gRPC itself has are added here."""

    def write(self, call: int, piece: bytes) -> None:
        """Send a message, or a piece of HTTP's body; the next only after ``WRITABLE``."""

    def close(self, call: int) -> None:
        """End a streamed response of plain HTTP; gRPC's end by ``finish``."""

    def abort(self, call: int) -> None:
        """Reset a call."""

    def more(self, call: int) -> None:
        """Ask for the next ``MESSAGES`` of a ``STREAM``."""

    def stop_listening(self) -> None:
        """Accept no more connections, and tell those that are open to end as those of age are."""

    def shut_down(self) -> None:
        """End every connection and the thread; returns when it has ended."""

    def counts(self) -> Mapping[str, int]:
        """What is open now, and what was so far.

        ``connections``, ``calls``: open now. ``accepted``, ``refused_connections``, ``refused_calls``,
        ``failed_handshakes``, ``malformed``, ``timed_out``, ``floods``: so far. ``accepted`` are requests
        that were handed over; ``malformed`` those that were refused or reset before they became calls: one
        that still comes may not be counted yet.
        """
