"""How calls that are one check each are read and answered: by method of gRPC, or by path of plain HTTP."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeAlias, cast

from session_service.domain.authorization import allowed
from session_service.domain.checks import Asked, Outcome
from session_service.domain.errors import SessionServiceError
from session_service.domain.models import Identity
from session_service.engines.native.pages import prepared, respond
from session_service.engines.native.surface import Call, Engine, Pairs, Reply
from session_service.rpc.batched import VERIFY_TOKEN, BatchedMethod, verify_asked
from session_service.rpc.boundary import OK, BatchObserver, Room, failure
from session_service.rpc.http import refusals
from session_service.rpc.http.app import HttpApp
from session_service.rpc.http.forward_auth import ForwardAuth
from session_service.rpc.http.values import HttpRequest
from session_service.rpc.http.verify import RestVerify
from session_service.rpc.metadata import fields_of
from session_service.rpc.requests import NewRequest, Requests

_REPEATED: Final = "REPEATED"
_ORIGIN: Final = "origin"

Answers: TypeAlias = list[tuple[int, bytes | Reply]]
"""What calls are answered together: each by its id, with a message or a page."""


class Kind(Protocol):
    """How calls of one method, or at one path, are read and answered."""

    room: Room
    """Where they find room."""

    def asked(self, call: Call) -> tuple[str | None, float, Any]:
        """A token and the bound of its check, and what ``answer`` is to know of the call besides.

        No token: nothing is to be checked. What it raises is the outcome instead.
        """

    def answer(
        self,
        call: Call,
        known: Any,  # noqa: ANN401 - what `asked` gave
        outcome: Outcome | None,
        answers: Answers,
    ) -> str:
        """Answer a call, by adding to the answers or by itself; returns the reason for the metrics."""

    def count(self, reason: str, seconds: float, count: int) -> None:
        """Have so many calls counted that ended alike."""


class Refusal(Exception):
    """Carries what fails a call before anything is asked, such as bytes that are no message."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class MethodKind:
    """Calls of a gRPC method.

    Args:
        path: its full name.
        method: what it asks and answers.
        room: as ``Kind``.
        observer: told of every call.
        engine: what carries them.
        always: header fields that the response to a call of gRPC-Web begins with.
    """

    def __init__(
        self,
        path: str,
        method: BatchedMethod,
        *,
        room: Room,
        observer: BatchObserver,
        engine: Engine,
        always: Callable[[Call], Pairs],
    ) -> None:
        self.room = room
        self._path = path
        self._read, self._asked = method.read, method.asked
        self._answered = method.answered
        self._observer = observer
        self._engine = engine
        self._always = always

    def asked(self, call: Call) -> Asked:
        """What the request wants checked; the role is what is known besides."""
        return self._asked(self._request(call), call.values)

    def answer(self, call: Call, known: str | None, outcome: Outcome | None, answers: Answers) -> str:
        """Answer with a message, or with the status of what is raised."""
        try:
            if type(outcome) is Refusal:
                raise outcome.error
            message = self._answered(outcome if known is None else with_role(outcome, known))
        except Exception as error:  # noqa: BLE001 - the catch-all
            return self._fail(call, error)
        if call.web:
            self._engine.finish(call.id, 0, "", (), self._always(call), message)
        else:
            answers.append((call.id, message))
        return OK

    def count(self, reason: str, seconds: float, count: int) -> None:
        """Tell the observer of all RPCs."""
        self._observer.calls_ended(self._path, reason, seconds, count)

    def _request(self, call: Call) -> Any:  # noqa: ANN401 - of the method's type
        request = self._read(call.message)
        if isinstance(request, Exception):
            raise Refusal(request)
        return request

    def _fail(self, call: Call, error: Exception) -> str:
        status = failure(self._path, error)
        number: int = status.code.value[0]
        always = self._always(call) if call.web else ()
        self._engine.finish(call.id, number, status.message, fields_of(status.trailers), always)
        return status.reason


class VerifyKind(MethodKind):
    """Calls of VerifyToken.

    What a request with a bound asks is remembered by its bytes once its token has been found good: to read it
    would be a third of a check from memory.

    Args:
        method: what it asks and answers.
        room: as ``Kind``.
        observer: told of every call.
        engine: what carries them.
        always: as ``MethodKind``.
    """

    def __init__(
        self,
        method: BatchedMethod,
        *,
        room: Room,
        observer: BatchObserver,
        engine: Engine,
        always: Callable[[Call], Pairs],
    ) -> None:
        super().__init__(VERIFY_TOKEN, method, room=room, observer=observer, engine=engine, always=always)
        self._remembered = Requests()

    def asked(self, call: Call) -> tuple[str | None, float, Any]:
        """What the request wants checked; what is to be remembered is known besides."""
        message = call.message
        remembered = self._remembered.get(message)
        if remembered is not None:
            return remembered
        request = self._request(call)
        asked = verify_asked(request, call.values)
        token, bound, _ = asked
        return (token, bound, NewRequest(message, asked)) if bound and request.token else asked

    def answer(self, call: Call, known: Any, outcome: Outcome | None, answers: Answers) -> str:  # noqa: ANN401 - `NewRequest | None`
        """Answer as ``MethodKind`` does."""
        if type(outcome) is Identity:
            if known is not None:
                self._remembered.keep(known)
            if not call.web:
                answers.append((call.id, self._answered(outcome)))
                return OK
        return super().answer(call, None, outcome, answers)


class ForwardAuthKind:
    """Gateways' requests by plain HTTP; the page counts its decisions itself.

    Args:
        page: what it asks and answers.
        room: as ``Kind``.
        app: completes the answers.
        engine: what carries them.
    """

    def __init__(self, page: ForwardAuth, room: Room, app: HttpApp, engine: Engine) -> None:
        self.room = room
        self._page = page
        self._app = app
        self._engine = engine

    def asked(self, call: Call) -> Asked:
        """What the request wants checked; the role is what is known besides."""
        return self._page.asked(call.values, call.query)

    def answer(self, call: Call, known: str | None, outcome: Outcome | None, answers: Answers) -> str:
        """Answer with a page, the same for the same identity."""
        if type(outcome) is Refusal:
            response = refusals.BUSY
        else:
            found = outcome if known is None else with_role(outcome, known)
            if type(found) is Identity:
                reply = found.forms.get(self)
                if reply is not None:
                    answers.append((call.id, reply))
                    return _REPEATED
                answers.append((call.id, self._allowed(found)))
                return OK
            response = self._page.decided(found)
        respond(self._engine, call.id, self._app.finished_page(response))
        return OK

    def count(self, reason: str, seconds: float, count: int) -> None:  # noqa: ARG002 - as in Kind
        """Tell the page of what it did not answer itself; all else it counts."""
        if reason == _REPEATED:
            self._page.repeated(count)

    def _allowed(self, identity: Identity) -> Reply:
        response = self._page.decided(identity)
        reply = prepared(self._engine, self._app.finished_page(response))
        if response.status == HTTPStatus.OK:
            identity.forms[self] = reply
        return reply


class RestKind:
    """VerifyToken by REST, limited and counted as by gRPC.

    What a request asks is remembered by its bytes, once its token has been found good, since reading JSON
    costs more than the check: so nobody without a token fills the memory. The token is verified each time.

    Args:
        verify: what is asked and answered at one path.
        room: as ``Kind``.
        observer: told of every call.
        engine: what carries them.
    """

    def __init__(self, verify: RestVerify, room: Room, observer: BatchObserver, engine: Engine) -> None:
        self.room = room
        self._verify = verify
        self._observer = observer
        self._engine = engine
        self._remembered = Requests()

    def asked(self, call: Call) -> tuple[str | None, float, NewRequest | None]:
        """What the request wants checked."""
        remembered = None if call.query else self._remembered.get(call.message)
        if remembered is not None:
            token, bound, _ = remembered
            return token, bound, None
        request = self._verify.request(_request(call))
        asked = verify_asked(request, call.values)
        return asked[0], asked[1], NewRequest(call.message, asked) if request.token else None

    def answer(self, call: Call, known: NewRequest | None, outcome: Outcome | None, answers: Answers) -> str:
        """Answer with JSON, the same for the same identity unless a page of a browser asks."""
        found: Outcome = outcome.error if type(outcome) is Refusal else cast(Outcome, outcome)
        if isinstance(found, Exception):
            respond(self._engine, call.id, self._verify.answer(_request(call), found))
            return failure(VERIFY_TOKEN, found).reason
        if known is not None:
            self._remembered.keep(known)
        reply: Reply | None = None if call.values(_ORIGIN) else found.forms.get(self)
        if reply is None:
            request = _request(call)
            reply = prepared(self._engine, self._verify.answer(request, found))
            if not request.headers:
                found.forms[self] = reply
        answers.append((call.id, reply))
        return OK

    def count(self, reason: str, seconds: float, count: int) -> None:
        """Tell the observer of all RPCs."""
        self._observer.calls_ended(VERIFY_TOKEN, reason, seconds, count)


def with_role(outcome: Outcome | None, role: str) -> Outcome | None:
    """What a check came to, if the user must have a role as well."""
    try:
        return allowed(outcome, role) if isinstance(outcome, Identity) else outcome
    except SessionServiceError as error:
        return error


def _request(call: Call) -> HttpRequest:
    """What REST's VerifyToken looks at in a request."""
    headers = [(_ORIGIN, value) for value in call.values(_ORIGIN)]
    return HttpRequest(call.verb, call.path, call.query, headers, call.message)
