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
from session_service.domain.models import Identity
from session_service.rpc.boundary import BatchObserver, Room, safe_deserializer
from session_service.rpc.caller import AUTHORIZATION, bearer_of
from session_service.rpc.check_messages import max_staleness_of
from session_service.rpc.conversions import verified_bytes
from session_service.rpc.envoy_auth import external_auth_pb2
from session_service.rpc.ext_authz_servicer import ExtAuthzServicer
from session_service.rpc.http.app import HttpApp
from session_service.rpc.http.forward_auth import ForwardAuth
from session_service.rpc.http.verify import RestVerify, rest_verify
from session_service.rpc.limits import Limits

VERIFY_TOKEN: Final = "/session.v1.SessionService/VerifyToken"  # noqa: S105 - a method
CHECK: Final = "/envoy.service.auth.v3.Authorization/Check"

Fields = Callable[[str], Sequence[str]]
"""Gives the values that a call's metadata has under a name, in order."""


class BatchedMethod(Protocol):
    """A gRPC method that is one check."""

    @property
    def read(self) -> Callable[[bytes], Any]:
        """Makes a request of its bytes, or the error to end the call with; see ``safe_deserializer``."""

    def asked(self, request: Any, values: Fields) -> Asked:  # noqa: ANN401 - of the method's type
        """What a request wants checked; what it raises is the outcome."""

    def answered(self, outcome: Outcome | None) -> bytes:
        """The response to an outcome, ``None`` where nothing was checked; raises what fails the call."""


@dataclass(frozen=True, slots=True)
class Batched:
    """All of them, and what an engine needs to serve them.

    Args:
        check: makes the checks.
        room: where calls of gRPC find room, shared with all other unary ones.
        observer: told of every call of gRPC.
        methods: by full name.
        forward_auth: answers gateways over plain HTTP, if they are.
    """

    check: TokenCheck
    room: Room
    observer: BatchObserver
    methods: Mapping[str, BatchedMethod]
    forward_auth: ForwardAuth | None

    def rest(self, app: HttpApp) -> Mapping[str, RestVerify]:
        """VerifyToken by REST, by the paths that take it by POST."""
        return rest_verify(app)


def verify_asked(request: pb.VerifyTokenRequest, values: Fields) -> Asked:
    """What a request of VerifyToken wants checked: its own token, else that of the metadata."""
    token = request.token or bearer_of(values(AUTHORIZATION))
    return token, max_staleness_of(request) if request.HasField("max_staleness") else 0.0, None


class VerifyTokenMethod:
    """``SessionService.VerifyToken``.

    Args:
        limit: bytes that a request may have.
    """

    def __init__(self, limit: int) -> None:
        self.read = safe_deserializer(pb.VerifyTokenRequest.FromString, limit)
        self.asked = verify_asked

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
        """Whether it may pass; the same bytes for the same identity."""
        if not isinstance(outcome, Identity):
            return self._servicer.decided(outcome).SerializeToString()
        found: bytes | None = outcome.forms.get(self)
        if found is not None:
            self._servicer.repeated(outcome)
            return found
        response = self._servicer.decided(outcome)
        message = response.SerializeToString()
        if response.HasField("ok_response"):
            outcome.forms[self] = message
        return message


def batched_methods(limits: Limits, authorization: ExtAuthzServicer | None) -> dict[str, BatchedMethod]:
    """The methods that are served in batches, by name."""
    methods: dict[str, BatchedMethod] = {VERIFY_TOKEN: VerifyTokenMethod(limits.message_bytes(VERIFY_TOKEN))}
    if authorization is not None:
        methods[CHECK] = CheckMethod(authorization, limits.message_bytes(CHECK))
    return methods
