"""Forward-auth: the decision over plain HTTP, for gateways that do not speak Envoy's protocol.

nginx (``auth_request``), Traefik (``ForwardAuth``), Caddy (``forward_auth``) and HAProxy ask with the
headers of the client's request and take the status for the answer: 200 lets it through, with headers
that say who makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import parse_qsl

from session_service.domain.authorization import Authorization
from session_service.domain.checks import Asked, Outcome
from session_service.domain.errors import FieldViolation, InvalidArgument
from session_service.domain.models import Identity
from session_service.rpc import identity_headers
from session_service.rpc.decisions import DecisionObserver, Decisions
from session_service.rpc.http.status import http_response_of
from session_service.rpc.http.values import HttpRequest, HttpResponse
from session_service.rpc.identity_headers import IdentityHeaders

PATH: Final = "/authz"
"""Where gateways ask."""

_ROLE: Final = "role"
# Each is work, whether or not it is thrown away.
_MOST_IN_QUERY: Final = 8
# Traefik and Caddy send the first; nginx is told to send the second.
_TARGETS: Final = ("x-forwarded-uri", "x-original-uri")
_PUBLIC: Final = HttpResponse(200, (), b"")


class ForwardAuth:
    """Answers gateways; an instance is an ``HttpHandler``.

    Args:
        authorization: decides.
        observer: told of each decision.
    """

    def __init__(self, authorization: Authorization, observer: DecisionObserver) -> None:
        self._authorization = authorization
        self._decisions = Decisions(observer, "http")

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Decide on the request that the gateway tells of; ``?role=`` demands a role."""
        outcome: Outcome | None
        try:
            outcome = await self._authorization.outcome_of(self.asked(request.values, request.query))
        except Exception as error:  # noqa: BLE001 - whatever it is, it lets nobody through
            outcome = error
        return self.decided(outcome)

    def asked(self, values: Callable[[str], Sequence[str]], query: str) -> Asked:
        """What is to be checked for a request; raises what forbids it before.

        Args:
            values: gives a header's values in order.
            query: of the request's target.
        """
        # Looked up only where it can matter: each costs, and this is done at every request of a gateway.
        target = _target(values) if self._authorization.looks_at_paths else ""
        authorization = _joined(values("authorization"), ",")
        cookies = _joined(values("cookie"), "; ") if authorization is None else None
        return self._authorization.asked(target, authorization, cookies, _role(query))

    def repeated(self, count: int) -> None:
        """Note that so many requests were let through by what ``decided`` answered before."""
        self._decisions.allowed(count)

    def decided(self, outcome: Outcome | None) -> HttpResponse:
        """The answer to what the check came to; ``None``: the request is public."""
        try:
            if isinstance(outcome, Exception):
                raise outcome
            response = _PUBLIC if outcome is None else _allowed(outcome)
        except Exception as error:  # noqa: BLE001 - whatever it is, it lets nobody through
            self._decisions.denied(error)
            return http_response_of(error)
        self._decisions.passed(outcome)
        return response


def _target(values: Callable[[str], Sequence[str]]) -> str:
    """The target of the client's request; empty, which is not public, where it is told twice and differs.

    A gateway that sets one of the headers passes the other on as the client wrote it.
    """
    targets = [value for name in _TARGETS for value in values(name)]
    if not targets:
        return ""
    return targets[0] if targets.count(targets[0]) == len(targets) else ""


def _joined(values: Sequence[str], separator: str) -> str | None:
    """A header's values as HTTP joins them; ``None`` where there are none."""
    return separator.join(values) if values else None


def _role(query: str) -> str | None:
    """The role that the gateway demands.

    Raises:
        InvalidArgument: the query has anything else; a misspelt parameter must not open a route.
    """
    if not query:
        return None
    if query.count("&") < _MOST_IN_QUERY:
        match parse_qsl(query, keep_blank_values=True):
            case [(name, role)] if name == _ROLE:
                return role
    raise InvalidArgument(FieldViolation("query", f"must be {_ROLE}=<role> alone"))


def _allowed(identity: Identity) -> HttpResponse:
    values = IdentityHeaders.of(identity)
    headers = [
        (identity_headers.USER_ID, values.user_id),
        (identity_headers.USERNAME, values.username),
        (identity_headers.SESSION_ID, values.session_id),
    ]
    if values.roles:
        headers.append((identity_headers.ROLES, values.roles))
    return HttpResponse(200, headers, b"")
