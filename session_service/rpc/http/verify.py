"""VerifyToken by REST in two halves, for an engine that checks many tokens in one pass.

What stands between them is the check, which the engine counts and limits as it does VerifyToken by gRPC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from session_api.v1 import session_service_pb2 as pb

from session_service.domain.models import Identity
from session_service.rpc.conversions import verified_message
from session_service.rpc.http.app import HttpApp
from session_service.rpc.http.failures import failed
from session_service.rpc.http.rest import RestMethod
from session_service.rpc.http.values import HttpRequest, HttpResponse

METHOD: Final = "/session.v1.SessionService/VerifyToken"


class RestVerify:
    """VerifyToken at one path.

    Args:
        app: what else answers HTTP; it completes the answers.
        method: between JSON and the messages.
    """

    def __init__(self, app: HttpApp, method: RestMethod) -> None:
        self._finished = app.finished
        self._method = method

    def request(self, request: HttpRequest) -> pb.VerifyTokenRequest:
        """What is asked; the token may be in the header ``authorization`` instead.

        Raises:
            InvalidArgument: it is not what the path takes; give it to ``answer``.
        """
        found: pb.VerifyTokenRequest = self._method.request(request)
        return found

    def answer(self, request: HttpRequest, outcome: Identity | Exception) -> HttpResponse:
        """The answer to what the check came to, or to what kept it from being made."""
        if isinstance(outcome, Exception):
            return self._finished(request, failed(outcome))
        return self._finished(request, self._method.response(verified_message(outcome)))


def rest_verify(app: HttpApp) -> Mapping[str, RestVerify]:
    """VerifyToken by path; all by POST."""
    return {path: RestVerify(app, method) for path, method in app.paths_of(METHOD).items()}
