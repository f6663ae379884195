"""The native engine's server: takes calls from Rust, and has them answered by the batch or by a task each.

One wake-up brings everything that waits. While a batch of checks is out the engine is not listened to, for
2 ms at most: what comes meanwhile is the next batch, so that under load many checks share one trip to Redis.
"""

from __future__ import annotations

import asyncio
import logging
import math
import resource
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias, cast

import grpc

from session_service.engines.native.call import NativeCall
from session_service.engines.native.checks import CheckBatches
from session_service.engines.native.kinds import (
    ForwardAuthKind,
    Kind,
    MethodKind,
    RestKind,
    VerifyKind,
)
from session_service.engines.native.methods import Method, fail, method_of, serve
from session_service.engines.native.pages import NativePage, encoded, respond
from session_service.engines.native.surface import (
    END,
    GONE,
    HTTP,
    MESSAGES,
    WRITABLE,
    Call,
    Engine,
    Event,
    Fault,
    Pairs,
)
from session_service.rpc.batched import VERIFY_TOKEN, Batched
from session_service.rpc.boundary import MethodHandlers
from session_service.rpc.http import refusals
from session_service.rpc.http.app import HttpApp
from session_service.rpc.http.forward_auth import PATH
from session_service.rpc.limits import (
    IDLE_SECONDS,
    KEEPALIVE_SECONDS,
    KEEPALIVE_TIMEOUT_SECONDS,
    LARGER_REQUESTS,
    MAX_CONNECTIONS,
    REQUEST_SECONDS,
    Limits,
)
from session_service.rpc.refusals import StoppingError

MakeEngine: TypeAlias = Callable[..., Engine]
"""``session_service_engine.Engine``, or what stands in for it."""

log = logging.getLogger(__name__)

# While so few are out, others go ahead: they would wait for a whole trip, and few have little to share.
_FEW: Final = 16
_HELD_SECONDS: Final = 0.002
_LOOK_SECONDS: Final = 0.02
_SAYING_SO_SECONDS: Final = 1.0
_OTHER_FILES: Final = 128
_NO_KIND: Final = (None, "")


class NativeServer:
    """Serves gRPC and plain HTTP on an engine of Rust; has the registration surface of ``grpc.aio.Server``.

    Args:
        make_engine: makes what carries the calls.
        limits: what one client, or all of them, may cost.
        listen: gives the engine its sockets and certificates, before it is asked for calls.
        http: answers plain HTTP.
    """

    def __init__(
        self,
        make_engine: MakeEngine,
        limits: Limits,
        listen: Callable[[Engine], None],
        http: HttpApp,
    ) -> None:
        self._make_engine = make_engine
        self._limits = limits
        self._listen = listen
        self._http = http
        self._places: dict[str, int] = {}
        self._methods: list[Method] = []
        self._kinds: list[Kind | None] = []
        # With the one method of HTTP that is served in batches there; empty = any.
        self._paths: dict[str, tuple[Kind | None, str]] = {}
        self._batched: Batched | None = None
        self._calls: dict[int, NativeCall | NativePage] = {}
        # When the newest batch left, and the timer while the engine is not listened to because of it.
        self._batch_left = 0.0
        self._held: asyncio.TimerHandle | None = None
        self._stopped = False
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._engine: Engine
        self._checks: CheckBatches | None = None

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Take handlers that list their methods, as ``MethodHandlers`` do."""
        for each in generic_rpc_handlers:
            for name, handler in cast(MethodHandlers, each).methods.items():
                self._places[name] = len(self._methods)
                self._methods.append(method_of(handler))

    def add_batched(self, batched: Batched) -> None:
        """Serve calls of these together."""
        self._batched = batched

    async def start(self) -> None:
        """Serve; returns when it does.

        Raises:
            OSError: the address cannot be listened on.
            ValueError: the certificate is not usable.
        """
        self._engine = self._make_engine(**self._settings())
        self._kinds = [None] * len(self._methods)
        if self._batched is not None:
            self._bind_checks(self._batched)
        self._listen(self._engine)
        self._loop.add_reader(self._engine.fileno(), self._woken)

    async def stop(self, grace: float | None) -> None:
        """Send clients elsewhere, finish what is in flight, and cut off what is left.

        Args:
            grace: seconds for that; ``None`` = none.
        """
        self._engine.stop_listening()
        if grace:
            await self._idle(self._loop.time() + grace)
        # Connections that are open may still bring calls, and would for as long as somebody sends them.
        self._stopped = True
        for call in list(self._calls.values()):
            call.cut_off()
        await self._idle(math.inf, answered=False)
        if self._held is not None:
            self._held.cancel()
        self._loop.remove_reader(self._engine.fileno())
        self._engine.shut_down()
        self._ended.set()

    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Return when it has been stopped, or ``True`` after so many seconds.

        It never ends by itself: when the engine's thread fails, it ends the process.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._ended.wait()
        except TimeoutError:
            return True
        return False

    def counts(self) -> Mapping[str, int]:
        """What the engine counts by itself; see ``Engine.counts``."""
        return self._engine.counts()

    # -- what waits

    def _woken(self) -> None:
        """Take what waits, unless many have just gone out: then later, and look at nothing meanwhile."""
        if self._checks is not None and self._checks.under_way > _FEW:
            left = self._batch_left + _HELD_SECONDS - time.monotonic()
            if left > 0:
                self._engine.hush()
                self._held = self._loop.call_later(left, self._release)
                return
        self._take()

    def _take(self) -> None:
        """Serve what waits; what comes meanwhile is served in the next turn of the loop, and wakes nobody."""
        try:
            self._serve(*self._engine.take(hushed=True))
        finally:
            if not self._engine.quiet():
                self._loop.call_soon(self._woken)

    def _serve(self, calls: Sequence[Call], events: Sequence[Event]) -> None:
        checks: list[tuple[Kind, Call]] = []
        for call in calls:
            kind = self._kind(call)
            if kind is None:
                self._begin(call)
            else:
                checks.append((kind, call))
        if checks and self._checks is not None:
            self._batch_left = time.monotonic()
            self._checks.begin(checks)
        # After the calls: one that waited may be gone already.
        for event in events:
            self._pass_on(event)

    def _release(self) -> None:
        """Take what was left waiting: no batch is out any more, or Redis is slow."""
        if self._held is not None:
            self._held.cancel()
            self._held = None
            self._take()

    def _kind(self, call: Call) -> Kind | None:
        """How a call is served in a batch; ``None`` where it is not."""
        if call.fault is not None or self._stopped:
            return None
        if call.method >= 0:
            return self._kinds[call.method]
        kind, verb = self._paths.get(call.path, _NO_KIND) if call.kind == HTTP else _NO_KIND
        # A caller's own time for one request is for a task to keep, and to tell of in JSON.
        alone = verb and (call.verb != verb or call.values("grpc-timeout"))
        return None if alone else kind

    def _pass_on(self, event: Event) -> None:
        number, kind, what = event
        call = self._calls.get(number)
        if call is None:
            if kind == GONE and self._checks is not None:
                self._checks.leave(number)
        elif kind == WRITABLE:
            call.writable()
        elif kind == GONE:
            call.leave(overdue=bool(what))
        elif isinstance(call, NativeCall):
            if kind == MESSAGES:
                call.arrived(cast("list[bytes]", what))
            elif kind == END:
                call.ended(cast("Fault | None", what))

    # -- calls that are served by tasks

    def _begin(self, call: Call) -> None:
        served: NativeCall | NativePage
        if call.kind == HTTP:
            if self._stopped:
                respond(self._engine, call.id, refusals.BUSY)
                return
            served = NativePage(self._engine, call, self._http)
            work = served.serve()
        else:
            served = NativeCall(self._engine, call, self._always(call) if call.web else ())
            if self._stopped:
                fail(served, StoppingError("the server stops"))
                return
            work = serve(self._methods[call.method] if call.method >= 0 else None, served, call)
        number = call.id
        self._calls[number] = served
        task = self._loop.create_task(work)
        served.serve_by(task)
        task.add_done_callback(partial(self._forget, number))

    def _forget(self, number: int, task: asyncio.Task[None]) -> None:
        """Forget a call; one that was not answered, for a mistake of ours, is reset."""
        self._calls.pop(number, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call not answered", exc_info=error)
            self._engine.abort(number)

    def _always(self, call: Call) -> Pairs:
        """Header fields that the response to a call of gRPC-Web begins with."""
        origins = call.values("origin")
        return encoded(self._http.cross_origin(origins[0] if len(origins) == 1 else None))

    # --

    async def _idle(self, deadline: float, *, answered: bool = True) -> None:
        """Return when nothing is in hand, or at a moment of the loop's clock.

        Args:
            deadline: that moment.
            answered: wait until every answer has been taken by its client, too.
        """
        while self._loop.time() < deadline:
            waiting = answered and self._engine.counts()["calls"]
            if not (waiting or self._calls or (self._checks and self._checks.under_way)):
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _bind_checks(self, batched: Batched) -> None:
        engine = self._engine
        self._checks = CheckBatches(engine, batched.check.check_each, self._release)
        for path, method in batched.methods.items():
            if path in self._places:
                make = VerifyKind if path == VERIFY_TOKEN else partial(MethodKind, path)
                self._kinds[self._places[path]] = make(
                    method, room=batched.room, observer=batched.observer, engine=engine, always=self._always
                )
        for path, verify in batched.rest(self._http).items():
            self._paths[path] = RestKind(verify, batched.room, batched.observer, engine), "POST"
        if batched.forward_auth is not None:
            forward_auth = ForwardAuthKind(batched.forward_auth, self._http.page_room, self._http, engine)
            self._paths[PATH] = forward_auth, ""

    def _settings(self) -> dict[str, Any]:
        limits = self._limits
        return {
            "methods": [
                (name, method.streams, limits.message_bytes(name))
                for name, method in zip(self._places, self._methods, strict=True)
            ],
            "pages": list(self._http.page_paths),
            "body_bytes": limits.max_message_bytes,
            "larger_bodies": {path: limits.message_bytes(path) for path in LARGER_REQUESTS},
            "metadata_bytes": limits.max_metadata_bytes,
            "open_calls": limits.max_open_calls,
            "connections": _connections(),
            "streams": limits.max_concurrent_streams,
            "handshake_seconds": limits.handshake_timeout,
            "request_seconds": REQUEST_SECONDS,
            # Longer than `HttpApp` gives itself, who says it in JSON.
            "response_seconds": REQUEST_SECONDS + _SAYING_SO_SECONDS,
            "idle_seconds": float(IDLE_SECONDS),
            "age_seconds": limits.max_connection_age,
            "age_grace_seconds": limits.max_connection_age_grace,
            "ping_seconds": float(KEEPALIVE_SECONDS),
            "ping_timeout_seconds": float(KEEPALIVE_TIMEOUT_SECONDS),
        }


def _connections() -> int:
    """How many connections this process may have besides its other open files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(MAX_CONNECTIONS, files - _OTHER_FILES))
