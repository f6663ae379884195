"""The service's checks on the native engine, over doubles for what is under and above them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self, cast

import grpc
from session_api.v1 import session_service_pb2_grpc as pb_grpc

from session_service.domain.authorization import Authorization
from session_service.domain.checks import TokenCheck
from session_service.domain.credentials import Credentials
from session_service.domain.errors import StoreUnavailable, TokenExpired, TokenInvalid
from session_service.domain.models import AccessClaims, LiveState, SessionPolicy
from session_service.domain.ports import OnStates
from session_service.domain.public_paths import PublicPaths
from session_service.domain.watching import Watch, WatchedState
from session_service.engines.native.server import NativeServer
from session_service.rpc.batched import CHECK, VERIFY_TOKEN, Batched, batched_methods
from session_service.rpc.boundary import Boundary, MethodHandlers
from session_service.rpc.envoy_auth import external_auth_pb2_grpc
from session_service.rpc.ext_authz_servicer import ExtAuthzServicer
from session_service.rpc.http.app import HttpApp
from session_service.rpc.http.cors import Cors
from session_service.rpc.http.forward_auth import ForwardAuth
from session_service.rpc.limits import Limits
from session_service.rpc.session_servicer import SessionServicer
from session_service.rpc.single_checks import single_checks
from tests.support.native_engine import FakeEngine

LIMITS: Final = Limits(
    max_concurrent_rpcs=100,
    max_concurrent_streams=100,
    max_message_bytes=1000,
    max_metadata_bytes=500,
    max_connection_age=600,
    max_connection_age_grace=60,
    handshake_timeout=5,
)
NOW: Final = 1_800_000_000
NAMES: Final = ("good", "other", "forged", "expired", "puzzling", "ended", "away", "odd", "idle", "lapsed")


class Tokens:
    """A token is its session's name; some are bad. The claims of a good one are remembered."""

    def __init__(self) -> None:
        self._claims: dict[str, AccessClaims] = {}

    def issue(self, claims: AccessClaims) -> str:
        """Not asked for here."""
        raise AssertionError(claims)

    def verify(self, token: str) -> AccessClaims:
        """The claims of any token but three."""
        faults = {"forged": TokenInvalid(), "expired": TokenExpired(), "puzzling": RuntimeError("a mistake")}
        if token in faults:
            raise faults[token]
        claims = AccessClaims(f"user of {token}", token, f"id of {token}", NOW - 100, NOW + 1700)
        return self._claims.setdefault(token, claims)


def _live(name: str, active: int = NOW) -> LiveState:
    return LiveState(name, f"name of {name}", ("editor",), active * 1000, NOW * 1000 + 10**7)


@dataclass
class Store:
    """Sessions by name; what is not there is alive."""

    states: dict[str, LiveState | Exception | None] = field(
        default_factory=lambda: {
            "ended": None,
            "away": StoreUnavailable(),
            "odd": ValueError("no number"),
            "idle": _live("idle", 0),
            "lapsed": _live("lapsed")._replace(token_session_id=None),
        }
    )
    trips: int = 0
    hold: asyncio.Event | None = None
    touched: int = 0
    slow: dict[str, asyncio.Event] = field(default_factory=dict)
    """Sessions whose part of the store answers late."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def _state(self, name: str) -> LiveState | Exception | None:
        return self.states.setdefault(name, _live(name))

    async def read(self, claims: AccessClaims) -> LiveState | Exception | None:
        """The state of one."""
        self.trips += 1
        return self._state(claims.session_id)

    async def read_all(self, claims: Sequence[AccessClaims]) -> list[LiveState | Exception | None]:
        """The state of each."""
        self.trips += 1
        if self.hold is not None:
            await self.hold.wait()
        return [self._state(each.session_id) for each in claims]

    def ask(self, claims: Sequence[AccessClaims], on_states: OnStates) -> None:
        """One for all, and one for each slow part."""
        quick = [place for place, each in enumerate(claims) if each.session_id not in self.slow]
        slow = [place for place in range(len(claims)) if place not in quick]
        for places in filter(None, (quick, *([each] for each in slow))):
            task = asyncio.create_task(self._deliver(places, [claims[place] for place in places], on_states))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, places: list[int], claims: list[AccessClaims], on_states: OnStates) -> None:
        if claims[0].session_id in self.slow:
            await self.slow[claims[0].session_id].wait()
        on_states(places, await self.read_all(claims))

    async def touch(self, _user_id: str, _session_id: str) -> None:
        """Note it after a turn of the loop."""
        self.touched += 1
        await asyncio.sleep(0)


class Watches:
    """Reads that may be remembered."""

    confirmed = 0.0

    def __init__(self, store: Store) -> None:
        self._store = store
        self.left = 100

    def confirm_soon(self) -> None:
        """Nothing to do."""

    async def read(self, user_id: str, session_id: str, token_id: str, watch: Watch) -> WatchedState | None:
        """As the store, followed."""
        live = await self._store.read(AccessClaims(user_id, session_id, token_id, 0, 1))
        if isinstance(live, Exception):
            raise live
        watch.feed = self
        return None if live is None else WatchedState(live, 60.0)

    def forget(self, watch: Watch) -> None:
        """Follow no more."""
        watch.feed = None

    async def caught_up(self) -> None:
        """At once."""

    def end_all(self) -> None:
        """Nothing to end."""


class Observer:
    """What was counted."""

    def __init__(self) -> None:
        self.reasons: list[tuple[str, str]] = []
        self.decisions: list[tuple[str, str]] = []

    def call_ended(self, method: str, reason: str, _seconds: float) -> None:
        """One call."""
        self.reasons.append((method, reason))

    def calls_ended(self, method: str, reason: str, _seconds: float, count: int) -> None:
        """Several."""
        self.reasons += [(method, reason)] * count

    def decided(self, protocol: str, outcome: str, count: int = 1) -> None:
        """A decision."""
        self.decisions += [(protocol, outcome)] * count


class _OfSingleChecks:
    """An engine to which handlers of these methods are brought otherwise.

    Args:
        server: the engine.
    """

    def __init__(self, server: NativeServer) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Take all others."""
        for each in generic_rpc_handlers:
            methods = cast(MethodHandlers, each).methods
            others = {name: methods[name] for name in methods if name not in {VERIFY_TOKEN, CHECK}}
            self._server.add_generic_rpc_handlers((MethodHandlers(others),))


class Service:
    """The service's checks on the native engine, by its servicers or otherwise.

    Args:
        in_batches: serve them in batches.
        singly: serve those of gRPC as an engine without batches does.
        rooms: calls at once.
    """

    def __init__(self, *, in_batches: bool = False, singly: bool = False, rooms: int = 100) -> None:
        self.store, self.observer = Store(), Observer()
        self.limits = replace(LIMITS, max_concurrent_rpcs=rooms)
        http = HttpApp(self.limits, Cors((), ()), lambda: True)
        self.server = NativeServer(self._make, self.limits, lambda _: None, http)
        doubles: Any = self.store
        watches: Any = Watches(self.store)
        check = TokenCheck(
            Tokens(), doubles, watches, doubles, policy=SessionPolicy(), clock=lambda: NOW, steady=lambda: 0.0
        )
        nothing: Any = None
        authorization = Authorization(check, Credentials(None), PublicPaths(["/public"]))
        envoy = ExtAuthzServicer(authorization, self.observer, remove_authorization=True)
        forward = ForwardAuth(authorization, self.observer)
        session = SessionServicer(
            check=check,
            streams=nothing,
            logins=nothing,
            sessions=nothing,
            administration=nothing,
            callers=nothing,
        )
        engine = _OfSingleChecks(self.server) if singly else self.server
        boundary: Any = Boundary((engine, http), self.observer, self.limits)
        pb_grpc.add_SessionServiceServicer_to_server(session, boundary)
        external_auth_pb2_grpc.add_AuthorizationServicer_to_server(envoy, boundary)
        http.add_page("/authz", forward)
        methods = batched_methods(self.limits, envoy)
        batched = Batched(check, boundary.calls, self.observer, methods, forward)
        if in_batches:
            self.server.add_batched(batched)
        if singly:
            self.server.add_generic_rpc_handlers((single_checks(batched),))

    def _make(self, **settings: Any) -> Any:
        self.fake = FakeEngine(**settings)
        return self.fake

    async def __aenter__(self) -> Self:
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.store.hold is not None:
            self.store.hold.set()
        await self.server.stop(None)
