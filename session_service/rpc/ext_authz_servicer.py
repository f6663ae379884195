"""``envoy.service.auth.v3.Authorization``: Envoy asks whether it may let a request through.

The call itself answers OK whatever is decided, because an Envoy that is told to ``failure_mode_allow``
takes a failed call for a yes. Only what the boundary turns away fails: a call beyond the limit, and bytes
that are no message.
"""

from __future__ import annotations

from typing import Final

from session_service.domain.authorization import Authorization
from session_service.domain.checks import Asked, Outcome
from session_service.domain.errors import FieldViolation, InvalidArgument
from session_service.domain.models import Identity
from session_service.rpc import identity_headers
from session_service.rpc.caller import Context
from session_service.rpc.decisions import DecisionObserver, Decisions
from session_service.rpc.envoy_auth import external_auth_pb2 as pb
from session_service.rpc.envoy_auth import external_auth_pb2_grpc as pb_grpc
from session_service.rpc.http.status import http_response_of
from session_service.rpc.identity_headers import IdentityHeaders
from session_service.rpc.status import coded

ROLE: Final = "role"
_REPLACE: Final = pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


class ExtAuthzServicer(pb_grpc.AuthorizationServicer):
    """Translates between Envoy's messages and the decision.

    Args:
        authorization: decides.
        observer: told of each decision.
        remove_authorization: whether the server behind Envoy is kept from seeing the token.
    """

    def __init__(
        self, authorization: Authorization, observer: DecisionObserver, *, remove_authorization: bool
    ) -> None:
        self._authorization = authorization
        self._decisions = Decisions(observer, "envoy")
        consumed = ("authorization",) if remove_authorization else ()
        # Envoy removes after it has set: a header must not be in both lists.
        self._public = pb.CheckResponse(
            ok_response=pb.OkHttpResponse(headers_to_remove=(*identity_headers.ALL, *consumed))
        )
        self._allowed = pb.CheckResponse(
            ok_response=pb.OkHttpResponse(
                headers=[_replacing(name) for name in identity_headers.ALL[:-1]], headers_to_remove=consumed
            )
        )

    async def Check(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:
        """Decide on one request."""
        outcome: Outcome | None
        try:
            outcome = await self._authorization.outcome_of(self.asked(request))
        except Exception as error:  # noqa: BLE001 - whatever it is, it lets nobody through
            outcome = error
        return self.decided(outcome)

    def asked(self, request: pb.CheckRequest) -> Asked:
        """What is to be checked for a request; raises what forbids it before."""
        attributes = request.attributes
        http = attributes.request.http
        headers = http.headers
        return self._authorization.asked(
            http.path, headers.get("authorization"), headers.get("cookie"), _role(attributes)
        )

    def repeated(self, identity: Identity) -> None:
        """Note that a request was let through by what ``decided`` answered for the identity before."""
        self._decisions.passed(identity)

    def decided(self, outcome: Outcome | None) -> pb.CheckResponse:
        """The answer to what the check came to; ``None``: the request is public."""
        try:
            if isinstance(outcome, Exception):
                raise outcome
            response = self._public if outcome is None else self._allow(outcome)
        except Exception as error:  # noqa: BLE001 - whatever it is, it lets nobody through
            self._decisions.denied(error)
            return _denied(error)
        self._decisions.passed(outcome)
        return response

    def _allow(self, identity: Identity) -> pb.CheckResponse:
        """Let it through with the identity; what the client called itself is replaced or removed."""
        values = IdentityHeaders.of(identity)
        response = pb.CheckResponse()
        response.CopyFrom(self._allowed)
        ok = response.ok_response
        user_id, username, session_id = ok.headers
        user_id.header.value = values.user_id
        username.header.value = values.username
        session_id.header.value = values.session_id
        if values.roles:
            roles = ok.headers.add(append_action=_REPLACE)
            roles.header.key = identity_headers.ROLES
            roles.header.value = values.roles
        else:
            ok.headers_to_remove.append(identity_headers.ROLES)
        _describe(identity, response)
        return response


def _role(attributes: pb.AttributeContext) -> str | None:
    """The role that the route demands.

    Raises:
        InvalidArgument: the route has an extension that is not known; a misspelt one must not open it.
    """
    extensions = attributes.context_extensions
    if not extensions:
        return None
    if len(extensions) > 1 or ROLE not in extensions:
        raise InvalidArgument(FieldViolation("context_extensions", f"must be {ROLE!r} alone"))
    return extensions[ROLE]


def _replacing(name: str) -> pb.HeaderValueOption:
    return pb.HeaderValueOption(header=pb.HeaderValue(key=name), append_action=_REPLACE)


def _describe(identity: Identity, response: pb.CheckResponse) -> None:
    """The same facts for Envoy's other filters and logs, as they are."""
    facts = response.dynamic_metadata.fields
    facts["user_id"].string_value = identity.user_id
    facts["username"].string_value = identity.username
    facts["session_id"].string_value = identity.session_id
    roles = facts["roles"].list_value
    roles.SetInParent()  # a list without entries is a list all the same
    for role in identity.roles:
        roles.values.add(string_value=role)


def _denied(error: Exception) -> pb.CheckResponse:
    told = http_response_of(error)
    _, code = coded(error)
    response = pb.CheckResponse()
    response.status.code = code.value[0]
    denied = response.denied_response
    denied.status.code = told.status
    denied.body = told.body.decode()
    for name, value in told.headers:
        denied.headers.add(header=pb.HeaderValue(key=name, value=value), append_action=_REPLACE)
    return response
