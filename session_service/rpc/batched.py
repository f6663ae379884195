"""The methods whose whole work is one check, so that an engine may serve many calls of them at once.

Each is given here as two pure halves, of which its servicer consists as well: what is to be checked, and
how the outcome is answered. What stands between them is one pass of ``TokenCheck.check_each``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from session_api.v1 import session_service_pb2 as pb

from session_service.domain.checks import Asked, Outcome, TokenCheck
from session_service.domain.errors import Overloaded
from session_service.domain.models import Identity
from session_service.rpc.boundary import OK, BatchObserver, Room, failure, safe_deserializer
from session_service.rpc.caller import AUTHORIZATION, bearer_of
from session_service.rpc.check_messages import max_staleness_of
from session_service.rpc.conversions import verified_bytes
from session_service.rpc.envoy_auth import external_auth_pb2
from session_service.rpc.ext_authz_servicer import ExtAuthzServicer
from session_service.rpc.http import refusals
from session_service.rpc.http.app import HttpApp
from session_service.rpc.http.forward_auth import PATH, ForwardAuth
from session_service.rpc.http.values import HttpQuestion, HttpResponse
from session_service.rpc.http.verify import RestVerify, rest_verify
from session_service.rpc.limits import Limits

VERIFY_TOKEN: Final = "/session.v1.SessionService/VerifyToken"  # noqa: S105 - a method
CHECK: Final = "/envoy.service.auth.v3.Authorization/Check"

Fields = Callable[[str], Sequence[bytes]]
"""Gives the values that a call's metadata has under a name, in order, as they were sent."""


class BatchedMethod(Protocol):
    """A gRPC method that is one check."""

    @property
    def read(self) -> Callable[[bytes], Any]:
        """Makes a request of its bytes, or the error to end the call with; see ``safe_deserializer``."""

    def asked(self, request: Any, values: Fields) -> Asked:  # noqa: ANN401 - of the method's type
        """What a request wants checked; what it raises is the outcome."""

    def answered(self, outcome: Outcome | None) -> bytes:
        """The response to an outcome, ``None`` where nothing was checked; raises what fails the call."""


class BatchedPage(Protocol):
    """A path of plain HTTP where a request is one check."""

    verb: str
    """The method of HTTP that is one; empty = every."""
    counted_as: str
    """The RPC as which its requests are limited and counted; empty = it does so itself."""

    def asked(self, request: HttpQuestion) -> Asked:
        """What a request wants checked; what it raises is the outcome."""

    def answered(self, request: HttpQuestion, outcome: Outcome | None) -> tuple[HttpResponse, str]:
        """The response to an outcome, ``None`` where nothing was checked; and the reason for the metrics."""


@dataclass(frozen=True, slots=True)
class Batched:
    """All of them, and what an engine needs to serve them.

    Args:
        check: makes the checks.
        room: where calls of gRPC find room, shared with all other unary ones.
        observer: told of every call of gRPC.
        methods: by full name.
        pages: of plain HTTP, by path.
    """

    check: TokenCheck
    room: Room
    observer: BatchObserver
    methods: Mapping[str, BatchedMethod]
    pages: Mapping[str, BatchedPage]


class VerifyTokenMethod:
    """``SessionService.VerifyToken``.

    Args:
        limit: bytes that a request may have.
    """

    def __init__(self, limit: int) -> None:
        self.read = safe_deserializer(pb.VerifyTokenRequest.FromString, limit)

    def asked(self, request: pb.VerifyTokenRequest, values: Fields) -> Asked:
        """The token of the request, else that of the metadata."""
        token = request.token or bearer_of([each.decode("latin-1") for each in values(AUTHORIZATION)])
        return token, max_staleness_of(request), None

    def answered(self, outcome: Outcome | None) -> bytes:
        """Whose token it is."""
        if type(outcome) is Identity:
            return verified_bytes(outcome)
        if isinstance(outcome, Exception):
            raise outcome
        raise TypeError("VerifyToken always checks")


class CheckMethod:
    """``envoy.service.auth.v3.Authorization.Check``.

    Args:
        servicer: decides what to ask and to answer.
        limit: bytes that a request may have.
    """

    def __init__(self, servicer: ExtAuthzServicer, limit: int) -> None:
        self._servicer = servicer
        self.read = safe_deserializer(external_auth_pb2.CheckRequest.FromString, limit)

    def asked(self, request: external_auth_pb2.CheckRequest, _values: Fields) -> Asked:
        """The token of the request that the gateway asks about."""
        return self._servicer.asked(request)

    def answered(self, outcome: Outcome | None) -> bytes:
        """Whether it may pass."""
        return self._servicer.decided(outcome).SerializeToString()


def batched_methods(limits: Limits, authorization: ExtAuthzServicer | None) -> dict[str, BatchedMethod]:
    """The methods that are served in batches, by name."""
    methods: dict[str, BatchedMethod] = {VERIFY_TOKEN: VerifyTokenMethod(limits.message_bytes(VERIFY_TOKEN))}
    if authorization is not None:
        methods[CHECK] = CheckMethod(authorization, limits.message_bytes(CHECK))
    return methods


class ForwardAuthPage:
    """Forward-auth, which counts its decisions itself.

    Args:
        app: completes answers.
        forward_auth: decides what to ask and to answer.
    """

    verb = ""
    counted_as = ""

    def __init__(self, app: HttpApp, forward_auth: ForwardAuth) -> None:
        self._finished = app.finished
        self._forward_auth = forward_auth

    def asked(self, request: HttpQuestion) -> Asked:
        """The token of the request that the gateway asks about."""
        return self._forward_auth.asked(request.values, request.query)

    def answered(self, request: HttpQuestion, outcome: Outcome | None) -> tuple[HttpResponse, str]:
        """Whether it may pass."""
        busy = type(outcome) is Overloaded
        response = refusals.BUSY if busy else self._forward_auth.decided(outcome)
        return self._finished(request, response), OK


class RestVerifyPage:
    """VerifyToken by REST.

    Args:
        verify: between HTTP and the messages.
    """

    verb = "POST"
    counted_as = VERIFY_TOKEN

    def __init__(self, verify: RestVerify) -> None:
        self._verify = verify

    def asked(self, request: HttpQuestion) -> Asked:
        """The token of the body, else that of the header."""
        message = self._verify.request(request)
        token = message.token or bearer_of(request.values(AUTHORIZATION))
        return token, max_staleness_of(message), None

    def answered(self, request: HttpQuestion, outcome: Outcome | None) -> tuple[HttpResponse, str]:
        """Whose token it is."""
        if type(outcome) is Identity:
            return self._verify.answer(request, outcome), OK
        error = outcome if isinstance(outcome, Exception) else TypeError("VerifyToken always checks")
        return self._verify.answer(request, error), failure(VERIFY_TOKEN, error).reason


def batched_pages(app: HttpApp, forward_auth: ForwardAuth | None) -> dict[str, BatchedPage]:
    """The paths of plain HTTP that are served in batches."""
    pages: dict[str, BatchedPage] = {
        path: RestVerifyPage(verify) for path, verify in rest_verify(app).items()
    }
    if forward_auth is not None:
        pages[PATH] = ForwardAuthPage(app, forward_auth)
    return pages
