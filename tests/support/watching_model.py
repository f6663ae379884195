"""A model of sessions and of a service that tells of their ends, for whatever is said in whatever order.

It knows what is true; its messages lie in queues until a test carries them over. So a test decides how late
everything is, and asks the model whether an accept was right.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from google.protobuf.duration_pb2 import Duration
from session_api.v1 import error_reason_pb2
from session_api.v1 import session_service_pb2 as pb

UNAUTHENTICATED = 16


@dataclass
class ModelToken:
    """A token of a session of its own."""

    expires_at: float
    ended_at: float | None = None

    def is_alive(self, now: float) -> bool:
        """Whether a strict check accepts it."""
        return self.ended_at is None and now < self.expires_at


@dataclass
class ModelService:
    """The service's side of one stream at a time.

    ``to_client`` is what is on its way; ``checks`` what has been read and not answered; ``changes`` what the
    store has not told the service.
    """

    now: float = 1_000.0
    tokens: dict[str, ModelToken] = field(default_factory=dict)
    to_client: deque[pb.WatchTokensResponse] = field(default_factory=deque)
    changes: deque[int] = field(default_factory=deque)
    checks: deque[pb.WatchTokensResponse] = field(default_factory=deque)
    watched: dict[int, str] = field(default_factory=dict)
    forgotten: list[int] = field(default_factory=list)

    def log_in(self, token: str, life: float) -> None:
        """Begin a session."""
        self.tokens[token] = ModelToken(self.now + life)

    def end(self, token: str) -> None:
        """End a session; the word of it is on its way from the store to the service."""
        if self.tokens[token].is_alive(self.now):
            self.tokens[token].ended_at = self.now
            self.changes.extend(number for number, other in self.watched.items() if other == token)

    def may_be_accepted(self, token: str, began: float, bound: float) -> bool:
        """Whether a check that began then may accept it: not if its session was over ``bound`` before."""
        known = self.tokens[token]
        over_at = known.expires_at if known.ended_at is None else min(known.ended_at, known.expires_at)
        return over_at >= began - bound

    @property
    def is_behind(self) -> bool:
        """Whether something has not arrived at the client."""
        return bool(self.checks or self.changes or self.to_client)

    def reset(self) -> None:
        """Forget the stream."""
        for queue in (self.to_client, self.changes, self.checks, self.forgotten):
            queue.clear()
        self.watched.clear()

    def serve(self, request: pb.WatchTokensRequest) -> None:
        """Take what the client says."""
        match request.WhichOneof("request"):
            case "verify":
                self._check(request.verify.id, request.verify.token)
            case "ping":
                self.tell_changes()
                self._tell(pong=pb.WatchTokensResponse.Pong(id=request.ping.id))
            case _:
                for number in request.forget.ids:
                    self.watched.pop(number, None)
                self.forgotten += request.forget.ids

    def answer(self, *, first: bool) -> None:
        """Answer the first or the last check, if there is one."""
        if self.checks:
            self.to_client.append(self.checks.popleft() if first else self.checks.pop())

    def tell_changes(self) -> None:
        """Pass on what the store has told."""
        ids = [number for number in self.changes if self.watched.pop(number, None)]
        self.changes.clear()
        if ids:
            self._tell(invalidated=pb.WatchTokensResponse.Invalidated(ids=ids))

    def _check(self, number: int, token: str) -> None:
        """Watch, then read; the answer waits."""
        known = self.tokens[token]
        if known.is_alive(self.now):
            self.watched[number] = token
            self.checks.append(verified(number, token, known.expires_at - self.now))
        else:
            self.checks.append(failed(number))

    def _tell(self, **response: object) -> None:
        self.to_client.append(pb.WatchTokensResponse(**response))  # type: ignore[arg-type]


def verified(number: int, token: str, valid_for: float | None = 1800) -> pb.WatchTokensResponse:
    """An accept; its user's id is the token."""
    message = pb.WatchTokensResponse.Verified(id=number, identity=pb.VerifyTokenResponse(user_id=token))
    if valid_for is not None:
        message.valid_for.CopyFrom(Duration(seconds=int(valid_for), nanos=int(valid_for % 1 * 1e9)))
    return pb.WatchTokensResponse(verified=message)


def failed(
    number: int,
    code: int = UNAUTHENTICATED,
    reason: error_reason_pb2.ErrorReason.ValueType = error_reason_pb2.ERROR_REASON_SESSION_ENDED,
) -> pb.WatchTokensResponse:
    """A failure, by default of a session that is over."""
    failure = pb.CheckFailure(code=code, reason=reason, message="no")
    return pb.WatchTokensResponse(failed=pb.WatchTokensResponse.Failed(id=number, failure=failure))


def invalidated(*numbers: int) -> pb.WatchTokensResponse:
    """The end of watches."""
    return pb.WatchTokensResponse(invalidated=pb.WatchTokensResponse.Invalidated(ids=numbers))


def pong(number: int) -> pb.WatchTokensResponse:
    """The answer to a ping."""
    return pb.WatchTokensResponse(pong=pb.WatchTokensResponse.Pong(id=number))
