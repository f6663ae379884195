"""A service called by REST: its HTTP bindings, and a client for them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx
from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from session_api.v1 import admin_service_pb2, session_service_pb2

from tests.support.house_rules import ROOT
from tests.support.redis_binaries import redis_binaries
from tests.support.redis_server import RedisServer
from tests.support.service_client import PASSWORD
from tests.support.service_process import ServiceProcess

ORIGIN: Final = "https://app.example.com"

_SERVICES: Final = (
    session_service_pb2.DESCRIPTOR.services_by_name["SessionService"],
    admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
)
_VERBS: Final = ("get", "post", "delete", "put", "patch")
_TIMEOUT: Final = 30.0
_NUMBERS: Final = itertools.count()


@dataclass(frozen=True, slots=True)
class Binding:
    """One HTTP path of one RPC."""

    method: MethodDescriptor
    verb: str
    template: str

    def __str__(self) -> str:
        return f"{self.verb} {self.template}"


def bindings() -> list[Binding]:
    """All of them, as the contract's annotations say; streams have none."""
    bundle = FileDescriptorSet.FromString((ROOT / "session_service/rpc/session.binpb").read_bytes())
    services = {f"{file.package}.{each.name}": each for file in bundle.file for each in file.service}
    found = []
    for service in _SERVICES:
        for method in services[service.full_name].method:
            if method.client_streaming or method.server_streaming:
                continue
            rule = method.options.Extensions[annotations_pb2.http]
            for each in (rule, *rule.additional_bindings):
                verb = each.WhichOneof("pattern")
                assert verb in _VERBS, f"{method.name} has no HTTP path"
                found.append(Binding(service.methods_by_name[method.name], verb.upper(), getattr(each, verb)))
    return found


class RestClient:
    """Calls one service as a program without gRPC does.

    Args:
        service: which one.
        redis: where its sessions are.
        **options: of httpx, such as ``http2=True``.
    """

    def __init__(self, service: ServiceProcess, redis: RedisServer, **options: Any) -> None:
        self.service = service
        self.redis = redis
        self.admin = {"x-service-key": service.admin_key}
        self.http = httpx.Client(
            base_url=f"http://{service.http_address}", timeout=_TIMEOUT, trust_env=False, **options
        )

    @property
    def one_port(self) -> bool:
        """Whether gRPC is served at the same address, and HTTP/2 with it."""
        return self.service.http_address == self.service.address

    def by_http2(self) -> RestClient:
        """Another client, that speaks HTTP/2; its ``http`` is to be closed."""
        return RestClient(self.service, self.redis, http1=False, http2=True)

    def call(self, verb: str, path: str, *, token: str = "", **request: Any) -> httpx.Response:
        """Make a request; ``json``, ``content``, ``headers`` and ``params`` as httpx has them."""
        headers = dict(request.pop("headers", {}))
        if token:
            headers["authorization"] = f"Bearer {token}"
        return self.http.request(verb, path, headers=headers, **request)

    def operate(self, verb: str, path: str, **request: Any) -> httpx.Response:
        """Make a request as an operator."""
        return self.call(verb, path, headers=self.admin, **request)

    def add_user(self, **fields: Any) -> dict[str, Any]:
        """Add a user with a name of its own and ``PASSWORD``; the answer's user."""
        request = {"username": f"user-{next(_NUMBERS)}", "password": PASSWORD} | fields
        user: dict[str, Any] = answer(self.operate("POST", "/v1/admin/users", json=request))["user"]
        return user

    def log_in(self, username: str) -> dict[str, Any]:
        """Log a user in."""
        return answer(self.call("POST", "/v1/login", json={"username": username, "password": PASSWORD}))

    def open_session(self, user_id: str = "", **fields: Any) -> dict[str, Any]:
        """Begin a session without a password, of a user of its own unless one is named."""
        name = user_id or f"guest-{next(_NUMBERS)}"
        request = {"user_id": name, "username": name} | fields
        return answer(self.operate("POST", "/v1/admin/sessions", json=request))


def answer(response: httpx.Response) -> dict[str, Any]:
    """What a request got that went well."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    found: dict[str, Any] = response.json()
    return found


def failure(response: httpx.Response) -> tuple[int, int, str]:
    """What a failed request got: status, code and reason, from a body of the one shape that failures have."""
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"code", "message", "details"}, body
    assert body["message"]
    infos = [each for each in body["details"] if each["@type"].endswith("/google.rpc.ErrorInfo")]
    assert all(info["domain"] == "session.v1" for info in infos)
    return response.status_code, body["code"], infos[0]["reason"] if infos else ""


def path_of(template: str, values: Mapping[str, Any]) -> str:
    """The path with values for its variables, each encoded."""
    return template.format_map({name: quote(str(value), safe="") for name, value in values.items()})


@contextlib.contextmanager
def rest_service(**sections: Mapping[str, Any]) -> Iterator[RestClient]:
    """A service over a Redis of its own, on the engine that is chosen.

    Args:
        **sections: of its configuration.
    """
    with RedisServer(redis_binaries()[-1]) as redis:
        # A busy machine is not what the tests are about.
        patient = {"url": redis.url, "connect_timeout": 10, "command_timeout": 10}
        config: dict[str, Mapping[str, Any]] = {"redis": patient, "server": {"cors_origins": [ORIGIN]}}
        config |= sections
        with ServiceProcess(config) as service:
            client = RestClient(service, redis)
            with client.http:
                yield client
