"""Mounts every service on an engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from session_api.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
)

from session_service.domain.checks import TokenCheck
from session_service.rpc.admin_servicer import AdminServicer
from session_service.rpc.batched import Batched, batched_methods
from session_service.rpc.boundary import BatchObserver, Boundary, Engine
from session_service.rpc.envoy_auth import external_auth_pb2, external_auth_pb2_grpc
from session_service.rpc.ext_authz_servicer import ExtAuthzServicer
from session_service.rpc.health import Health
from session_service.rpc.http.forward_auth import PATH, ForwardAuth
from session_service.rpc.http.values import HttpHandler
from session_service.rpc.limits import Limits
from session_service.rpc.reflection import reflection_servicer
from session_service.rpc.session_servicer import SessionServicer
from session_service.rpc.single_checks import single_checks

_SERVICES: Final = (
    session_service_pb2.DESCRIPTOR.services_by_name["SessionService"],
    admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
    external_auth_pb2.DESCRIPTOR.services_by_name["Authorization"],
)
SESSION_SERVICE, ADMIN_SERVICE, *_, AUTHORIZATION = SERVICES = tuple(each.full_name for each in _SERVICES)
METHODS: Final = tuple(f"/{each.full_name}/{method.name}" for each in _SERVICES for method in each.methods)


@dataclass(frozen=True, slots=True)
class Servicers:
    """What is served; neither of the last two where gateways are not answered."""

    check: TokenCheck
    session: SessionServicer
    admin: AdminServicer
    health: Health
    authorization: ExtAuthzServicer | None
    forward_auth: ForwardAuth | None


@runtime_checkable
class Pages(Protocol):
    """An engine that answers plain HTTP besides gRPC."""

    def add_page(self, path: str, handler: HttpHandler) -> None:
        """Answer at this path."""


@runtime_checkable
class ServesBatches(Protocol):
    """An engine that serves many calls of the methods that are one check at once."""

    def add_batched(self, batched: Batched) -> None:
        """Serve calls of these together."""


def mount(
    engines: Sequence[Engine],
    servicers: Servicers,
    observer: BatchObserver,
    limits: Limits,
    *,
    reflection: bool,
) -> None:
    """Register every service on each engine, each method within one boundary.

    Args:
        engines: where.
        servicers: what is served.
        observer: told of every call.
        limits: what is allowed; see ``Boundary``.
        reflection: whether gRPC reflection is served.
    """
    boundary: Any = Boundary(engines, observer, limits)
    methods = batched_methods(limits, servicers.authorization)
    batched = Batched(servicers.check, boundary.calls, observer, methods, servicers.forward_auth)
    for engine in engines:
        if isinstance(engine, ServesBatches):
            engine.add_batched(batched)
        elif not isinstance(engine, Pages):
            # The first of a name is served. The servicers' own are registered below all the same: plain HTTP
            # beside this engine has them.
            engine.add_generic_rpc_handlers((single_checks(batched),))
    session_service_pb2_grpc.add_SessionServiceServicer_to_server(servicers.session, boundary)
    admin_service_pb2_grpc.add_AdminServiceServicer_to_server(servicers.admin, boundary)
    health_pb2_grpc.add_HealthServicer_to_server(servicers.health.servicer, boundary)
    if servicers.authorization:
        external_auth_pb2_grpc.add_AuthorizationServicer_to_server(servicers.authorization, boundary)
    for engine in engines:
        if servicers.forward_auth and isinstance(engine, Pages):
            engine.add_page(PATH, servicers.forward_auth)
    if reflection:
        shown = [name for name in SERVICES if name != AUTHORIZATION or servicers.authorization]
        register: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
        register(reflection_servicer(shown), boundary)
