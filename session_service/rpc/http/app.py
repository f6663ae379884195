"""All of HTTP as one handler: REST, pages, probes, CORS, and what other requests are answered.

Methods are registered on it as on ``grpc.aio.Server``, within the same boundary: a call by REST is counted,
limited and failed as the same call by gRPC is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import grpc

from session_service.domain.errors import InvalidArgument, Overloaded
from session_service.rpc.boundary import Room
from session_service.rpc.http import refusals
from session_service.rpc.http.bindings import bindings, descriptor_set
from session_service.rpc.http.context import RestContext
from session_service.rpc.http.cors import Cors, origin_of
from session_service.rpc.http.failures import failed_call
from session_service.rpc.http.json_codec import JsonCodec
from session_service.rpc.http.probes import Probes
from session_service.rpc.http.rest import RestMethod
from session_service.rpc.http.router import Router
from session_service.rpc.http.values import HttpHandler, HttpReply, HttpRequest, HttpResponse
from session_service.rpc.limits import REQUEST_SECONDS, Limits
from session_service.rpc.metadata import seconds_of
from session_service.rpc.refusals import MalformedError

AnyReply = TypeVar("AnyReply", bound=HttpReply)

REST_SERVICES: Final = ("session.v1.SessionService", "session.v1.AdminService")

# Answers hold tokens, and who somebody is for now (RFC 6749 §5.1; ASVS 14.3.2).
_NO_STORE: Final = ("cache-control", "no-store")
_GOOD: Final = (None, grpc.StatusCode.OK)

log = logging.getLogger(__name__)


class HttpApp:
    """Answers plain HTTP; an instance is an ``HttpHandler``.

    Args:
        limits: requests to pages in hand at once; bytes of header fields.
        cors: which pages of a browser may call.
        is_serving: whether the service is healthy, for balancers.
    """

    def __init__(self, limits: Limits, cors: Cors, is_serving: Callable[[], bool]) -> None:
        self._limits = limits
        self._cors = cors
        self._handlers: list[grpc.GenericRpcHandler] = []
        self._methods: dict[str, Any] = {}
        self._pages: dict[str, HttpHandler] = {}
        self.page_room = Room(limits.max_concurrent_rpcs)
        """Where requests to pages find room, those that an engine answers in batches too."""
        self._probes = Probes(is_serving)
        codec = JsonCodec()
        self._rest = [(each, codec.rest_method(each)) for each in bindings(descriptor_set(), REST_SERVICES)]
        self._router = Router((each.verb, each.template, method) for each, method in self._rest)

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Take handlers that look methods up by name."""
        self._handlers.extend(generic_rpc_handlers)

    def add_page(self, path: str, handler: HttpHandler) -> None:
        """Answer at this path, whatever the method of HTTP; no page of a browser may read the answer."""
        self._pages[path] = handler

    @property
    def page_paths(self) -> tuple[str, ...]:
        """The paths that are pages whatever their request says of itself, such as that it is gRPC."""
        return (*self._pages, *self._probes.paths)

    def paths_of(self, method: str) -> Mapping[str, RestMethod]:
        """The paths that call a method by POST, for an engine that serves many such calls at once."""
        return {
            each.template: rest for each, rest in self._rest if (each.method, each.verb) == (method, "POST")
        }

    def cross_origin(self, origin: str | None) -> list[tuple[str, str]]:
        """What to add to an answer of gRPC-Web; see ``Cors.response_headers``."""
        return self._cors.response_headers(origin)

    async def __call__(self, request: HttpRequest) -> HttpReply:
        """Answer a request."""
        try:
            reply = await self._reply(request)
        except Exception:
            log.exception("request failed", extra={"path": request.path})
            reply = refusals.FAILED
        return self.finished(request, reply)

    def finished(self, request: HttpRequest, reply: AnyReply) -> AnyReply:
        """An answer with the header fields that belong to every one."""
        if request.path in self._pages:
            return self.finished_page(reply)
        cross_origin = self._cors.response_headers(origin_of(request.headers))
        return replace(reply, headers=(*reply.headers, _NO_STORE, *cross_origin))

    def finished_page(self, reply: AnyReply) -> AnyReply:
        """A page's answer with the header fields that belong to it; no page of a browser may read it."""
        return replace(reply, headers=(*reply.headers, _NO_STORE))

    async def _reply(self, request: HttpRequest) -> HttpReply:
        limit = self._limits.max_metadata_bytes
        size = len(request.path) + len(request.query) + sum(len(value) for _, value in request.headers)
        if size > limit:
            return refusals.header_too_large(limit)
        page = self._pages.get(request.path)
        if page is not None:
            return await self._paged(page, request)
        return await self._at_path(request)

    async def _paged(self, page: HttpHandler, request: HttpRequest) -> HttpReply:
        try:
            self.page_room.enter()
            return await page(request)
        except Overloaded:
            return refusals.BUSY
        finally:
            self.page_room.leave()

    async def _at_path(self, request: HttpRequest) -> HttpReply:
        found = self._router.find(request.path)
        if found is None:
            return self._elsewhere(request)
        resource, values = found
        method = resource.by_verb.get(request.method)
        if method is None:
            return self._other_verb(request, resource.verbs)
        return await self._call(method, request, values)

    def _elsewhere(self, request: HttpRequest) -> HttpResponse:
        """The answer at a path that is no path of REST."""
        if request.path in self._probes.paths:
            if request.method not in self._probes.verbs:
                return self._other_verb(request, self._probes.verbs)
            return self._probes.answer(request.path)
        if self._method(request.path) is None:
            return refusals.NO_SUCH_PATH
        return refusals.NOT_IN_GRPC if request.method == "POST" else self._other_verb(request, ("POST",))

    def _other_verb(self, request: HttpRequest, verbs: tuple[str, ...]) -> HttpResponse:
        """The answer to a method of HTTP that a path does not have, OPTIONS among them."""
        verbs = (*verbs, "OPTIONS")
        if request.method != "OPTIONS":
            return refusals.not_allowed(verbs)
        return self._cors.preflight(request) or refusals.options(verbs)

    async def _call(self, method: RestMethod, request: HttpRequest, values: tuple[str, ...]) -> HttpResponse:
        """Call a method as gRPC would."""
        deadline = asyncio.get_running_loop().time() + REQUEST_SECONDS
        message: Any
        try:
            message = method.request(request, values)
            deadline = min(deadline, deadline - REQUEST_SECONDS + _timeout(request))
        except (InvalidArgument, MalformedError) as error:
            # The boundary raises it where it counts the call.
            message = error
        context = RestContext(request, deadline)
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._method(method.method).unary_unary(message, context)
        except TimeoutError:
            return refusals.LATE_ANSWER
        except grpc.aio.AbortError:
            response = None
        code = context.code()
        if response is not None and code in _GOOD:
            return method.response(response)
        return failed_call(code or grpc.StatusCode.UNKNOWN, context.details(), context.trailing_metadata())

    def _method(self, path: str) -> Any:  # noqa: ANN401 - grpc's handlers are untyped
        """The handler of the gRPC method at a path; ``None`` if there is none."""
        known = self._methods.get(path)
        if known is None:
            details: Any = _Details(path)
            known = next((found for each in self._handlers if (found := each.service(details))), None)
            if known is not None:
                self._methods[path] = known
        return known


@dataclass(frozen=True, slots=True)
class _Details:
    """What a generic handler looks a method up by; a ``grpc.HandlerCallDetails``."""

    method: str
    invocation_metadata: tuple[tuple[str, str | bytes], ...] = ()


def _timeout(request: HttpRequest) -> float:
    """Seconds that the caller gives in gRPC's own header field.

    Raises:
        MalformedError: it is no time-out.
    """
    found = request.values("grpc-timeout")
    return seconds_of(found[-1].encode("latin-1")) if found else REQUEST_SECONDS
