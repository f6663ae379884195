"""Envoy's configuration for a worker: one listener, and Python as its last filter.

What each setting means is in Envoy's API reference (envoy.config.bootstrap.v3 and what it names). The
values are JSON as it comes out of ``json.dumps``; a bad one keeps Envoy from starting.
"""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from session_service.rpc.engines.envoy_replies import LOCAL_REPLIES, Json
from session_service.rpc.http.forward_auth import PATH as FORWARD_AUTH_PATH
from session_service.rpc.limits import (
    IDLE_SECONDS,
    KEEPALIVE_SECONDS,
    KEEPALIVE_TIMEOUT_SECONDS,
    LARGER_REQUESTS,
    REQUEST_SECONDS,
    Limits,
    ServerTls,
)

TRANSCODED_SERVICES: Final = ("session.v1.SessionService", "session.v1.AdminService")

_TYPE: Final = "type.googleapis.com/envoy."
_CONNECTIONS: Final = "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
_UNIX: Final = "unix:"
_ANY_FAMILY: Final[Mapping[str, Json]] = {"::": {"ipv4_compat": True}}
_KIB: Final = 1024
# Beyond this Envoy itself resets; up to it calls are refused by name. Room for what Envoy adds, too.
_HEADER_ROOM_KIB: Final = 80
_LEAST_CONNECTIONS: Final = 100
_MOST_CONNECTIONS: Final = 20_000
# What a closing connection, told so, is given to have its last calls begin elsewhere.
_GOAWAY_SECONDS: Final = 1
_FLUSH_SECONDS: Final = 30
_REST_EXPOSED: Final = "grpc-status,grpc-message,grpc-status-details-bin,www-authenticate,retry-after"
_REST_HEADERS: Final = (
    "authorization,content-type,x-service-key,x-grpc-web,x-user-agent,grpc-timeout,grpc-accept-encoding"
)


@dataclass(frozen=True, slots=True)
class Listener:
    """What one worker's Envoy serves.

    Args:
        listen: ``host:port`` or ``unix:path``.
        share_port: let other workers listen on the same port (SO_REUSEPORT).
        limits: what it bears.
        tls: its certificate, or ``None`` for clear text.
        cors_origins: origins whose pages may call it from a browser.
    """

    listen: str
    share_port: bool
    limits: Limits
    tls: ServerTls | None
    cors_origins: Sequence[str]


def bootstrap(listener: Listener, application: str, admin_socket: Path, *, json_log: bool) -> Json:
    """The whole configuration of one Envoy.

    Args:
        listener: what is served.
        application: ``module:name`` of the ASGI application.
        admin_socket: where the admin interface listens: a unix socket in a private directory.
        json_log: whether Envoy's own log lines are JSON, as the service's are.
    """
    return {
        "node": {"id": "session-service", "cluster": "session-service"},
        "admin": {"address": {"pipe": {"path": str(admin_socket), "mode": 0o600}}},
        "static_resources": {"listeners": [_listener(listener, application)]},
        "overload_manager": {"resource_monitors": [_connection_limit()]},
        **({"application_log_config": {"log_format": {"json_format": _LOG_LINE}}} if json_log else {}),
    }


_LOG_LINE: Final[Json] = {
    "time": "%Y-%m-%dT%T.%eZ",
    "level": "%l",
    "logger": "envoy.%n",
    "event": "%j",
}


def _listener(listener: Listener, application: str) -> Json:
    clear = listener.tls is None
    first, *others = _addresses(listener.listen)
    seconds = f"{listener.limits.handshake_timeout:g}s"
    chain: Json = {"filters": [_http_manager(listener, application)]}
    if listener.tls is not None:
        chain["transport_socket"] = _tls(listener.tls)
        chain["transport_socket_connect_timeout"] = seconds
    return {
        "name": "session-service",
        "address": first,
        "additional_addresses": [{"address": other} for other in others],
        "enable_reuse_port": listener.share_port,
        "per_connection_buffer_limit_bytes": max(1 << 20, 2 * listener.limits.largest_message_bytes),
        # Waits for the first bytes: a connection that says nothing ends with its time for a handshake.
        "listener_filters": [_filter("listener.http_inspector", "HttpInspector")] if clear else [],
        "listener_filters_timeout": seconds,
        "filter_chains": [chain],
    }


def _http_manager(listener: Listener, application: str) -> Json:
    limits = listener.limits
    return _filter(
        "network.http_connection_manager",
        "HttpConnectionManager",
        stat_prefix="ingress",
        generate_request_id=False,
        server_header_transformation="PASS_THROUGH",
        # The peer's own address: whose x-forwarded-for is believed is decided by trusted_proxies.
        use_remote_address=True,
        skip_xff_append=True,
        max_request_headers_kb=_HEADER_ROOM_KIB + limits.max_metadata_bytes // _KIB,
        request_headers_timeout=f"{limits.handshake_timeout:g}s",
        # Streams may be silent for long, as health's Watch; whether the client lives is asked by pings.
        stream_idle_timeout="0s",
        stream_flush_timeout=f"{_FLUSH_SECONDS}s",
        drain_timeout=f"{_GOAWAY_SECONDS}s",
        common_http_protocol_options={
            "idle_timeout": f"{IDLE_SECONDS}s",
            "max_connection_duration": f"{limits.max_connection_age:g}s",
            "headers_with_underscores_action": "ALLOW",
        },
        http2_protocol_options={
            "max_concurrent_streams": limits.max_concurrent_streams,
            "initial_stream_window_size": 1 << 16,
            "initial_connection_window_size": 1 << 20,
            "connection_keepalive": {
                "interval": f"{KEEPALIVE_SECONDS}s",
                "timeout": f"{KEEPALIVE_TIMEOUT_SECONDS}s",
            },
        },
        early_header_mutation_extensions=[_FORGET_TRANSCODING],
        route_config={"validate_clusters": False, "virtual_hosts": [_virtual_host(listener)]},
        local_reply_config=LOCAL_REPLIES,
        http_filters=_http_filters(limits, application, cors=bool(listener.cors_origins)),
    )


# What the transcoder notes for Python says what it means only if no client can have written it.
_FORGET_TRANSCODING: Final[Json] = {
    "name": "envoy.http.early_header_mutation.header_mutation",
    "typed_config": {
        "@type": f"{_TYPE}extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        "mutations": [{"remove": "x-envoy-original-path"}, {"remove": "x-envoy-original-method"}],
    },
}


def _http_filters(limits: Limits, application: str, *, cors: bool) -> list[Json]:
    return [
        *([_filter("http.cors", "Cors")] if cors else []),
        _filter("http.header_mutation", "HeaderMutation"),
        # The transcoder itself takes as many bytes as come, and keeps them.
        _filter("http.buffer", "Buffer", max_request_bytes=limits.max_message_bytes),
        _filter("http.grpc_web", "GrpcWeb"),
        _transcoder(),
        _NOTHING_ENCODED,
        _python(application),
    ]


# Once the transcoder has read it, no path that is served has a percent sign. pyvoy decodes paths: one that
# a proxy has let pass would become another, and one that is no UTF-8 pyvoy never answers.
_NOTHING_ENCODED: Final[Json] = {
    "name": "envoy.filters.http.fault",
    "typed_config": {
        "@type": f"{_TYPE}extensions.filters.http.fault.v3.HTTPFault",
        "headers": [{"name": ":path", "string_match": {"safe_regex": {"regex": "[^?]*%.*"}}}],
        "abort": {"http_status": 404, "percentage": {"numerator": 100}},
    },
}


def _transcoder() -> Json:
    """REST, as the protos' ``google.api.http`` annotations bind it."""
    return _filter(
        "http.grpc_json_transcoder",
        "GrpcJsonTranscoder",
        proto_descriptor=str(files("session_service.rpc").joinpath("session.binpb")),
        services=list(TRANSCODED_SERVICES),
        print_options={"preserve_proto_field_names": True, "always_print_primitive_fields": True},
        convert_grpc_status=True,
        max_response_body_size=1 << 22,
        # A body must not overrule the path: whoever stands before may have decided by it.
        request_validation_options={
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
    )


def _python(application: str) -> Json:
    """Python inside Envoy: pyvoy's module, which answers every request that comes so far."""
    module = distribution("pyvoy").locate_file("pyvoy/_pyvoy.abi3.so")
    settings = json.dumps({"app": application, "interface": "asgi", "lifespan": True})
    return _filter(
        "http.dynamic_modules",
        "DynamicModuleFilter",
        dynamic_module_config={"module": {"local": {"filename": str(module)}}},
        filter_name="pyvoy",
        terminal_filter=True,
        filter_config={"@type": "type.googleapis.com/google.protobuf.StringValue", "value": settings},
    )


def _virtual_host(listener: Listener) -> Json:
    # No route is ever taken: Python answers. They carry what belongs to all paths, or to some.
    larger = [_larger(path, listener.limits) for path in sorted(LARGER_REQUESTS)]
    host: Json = {"name": "all", "domains": ["*"], "routes": [_GRPC, *larger, _REST]}
    if listener.cors_origins:
        policy = {
            "@type": f"{_TYPE}extensions.filters.http.cors.v3.CorsPolicy",
            "allow_origin_string_match": [{"exact": origin} for origin in listener.cors_origins],
            "allow_methods": "GET,POST,DELETE",
            "allow_headers": _REST_HEADERS,
            "expose_headers": _REST_EXPOSED,
            "max_age": "7200",
        }
        host["typed_per_filter_config"] = {"envoy.filters.http.cors": policy}
        host["routes"] = [_FORWARD_AUTH, _GRPC, *larger, _REST]
    return host


# To a cluster that is not there: beside a direct response CORS is not served (envoyproxy/envoy#8262).
_NOWHERE: Final[Json] = {"cluster": "none"}
# Just what the transcoder and the filter for gRPC-Web take for gRPC: of anything else that is spelled
# alike (`application/grpc;x`) the transcoder would make a call by REST, past the limits that hold for REST.
_GRPC_TYPES: Final = r"application/grpc(\+.*|-web(-text)?(\+proto)?)?"
_BUFFER_PER_ROUTE: Final = f"{_TYPE}extensions.filters.http.buffer.v3.BufferPerRoute"
# Streams may go on for ever; Python sees each message's length before the message.
_GRPC: Final[Json] = {
    "match": {
        "prefix": "/",
        "headers": [{"name": "content-type", "string_match": {"safe_regex": {"regex": _GRPC_TYPES}}}],
    },
    "route": _NOWHERE,
    "typed_per_filter_config": {"envoy.filters.http.buffer": {"@type": _BUFFER_PER_ROUTE, "disabled": True}},
}
# Answers hold tokens, and who somebody is for now (RFC 6749 §5.1; ASVS 14.3.2).
_NO_STORE: Final[Json] = {
    "@type": f"{_TYPE}extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
    "mutations": {
        "response_mutations": [
            {
                "append": {
                    "header": {"key": "cache-control", "value": "no-store"},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            }
        ]
    },
}
# Whoever calls by REST names no deadline: from the first byte to the answer a call has this long.
_REST: Final[Json] = {
    "match": {"prefix": "/"},
    "route": _NOWHERE | {"max_stream_duration": {"max_stream_duration": f"{REQUEST_SECONDS:g}s"}},
    "typed_per_filter_config": {"envoy.filters.http.header_mutation": _NO_STORE},
}


def _larger(path: str, limits: Limits) -> Json:
    buffer = {"max_request_bytes": limits.message_bytes(path)}
    return _REST | {
        "match": {"path": path},
        "typed_per_filter_config": {
            "envoy.filters.http.header_mutation": _NO_STORE,
            "envoy.filters.http.buffer": {"@type": _BUFFER_PER_ROUTE, "buffer": buffer},
        },
    }


# No page of a browser asks there. A gateway may ask with the method of its client, to whose preflight CORS
# would answer 200: a yes.
_FORWARD_AUTH: Final[Json] = _REST | {
    "match": {"path": FORWARD_AUTH_PATH},
    "typed_per_filter_config": {
        "envoy.filters.http.header_mutation": _NO_STORE,
        "envoy.filters.http.cors": {"@type": f"{_TYPE}config.route.v3.FilterConfig", "disabled": True},
    },
}


def _tls(tls: ServerTls) -> Json:
    common: Json = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(tls.cert_file.absolute())},
                "private_key": {"filename": str(tls.key_file.absolute())},
            }
        ],
    }
    if tls.client_ca_file is not None:
        common["validation_context"] = {"trusted_ca": {"filename": str(tls.client_ca_file.absolute())}}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPE}extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": common,
            "require_client_certificate": tls.require_client_certificate,
        },
    }


def _connection_limit() -> Json:
    """As many connections as leave half of the process's descriptors for everything else."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(_MOST_CONNECTIONS, max(_LEAST_CONNECTIONS, soft // 2))
    return {
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": {
            "@type": f"{_TYPE}{_CONNECTIONS}",
            "max_active_downstream_connections": most,
        },
    }


def _addresses(listen: str) -> list[Json]:
    """What to listen on: Envoy takes no names, so all that a name stands for."""
    if listen.startswith(_UNIX):
        return [{"pipe": {"path": str(Path(listen.removeprefix(_UNIX)).absolute())}}]
    host, _, port = listen.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    hosts = dict.fromkeys(str(address[0]) for *_, address in found)
    # As gRPC has it, `[::]` is every address, those of IPv4 included.
    return [
        {"socket_address": {"address": each, "port_value": int(port)} | _ANY_FAMILY.get(each, {})}
        for each in hosts
    ]


def _filter(name: str, message: str, **values: Any) -> Json:
    """A filter: ``http.cors`` and its message ``Cors``, whose package has the same name."""
    return {
        "name": f"envoy.filters.{name}",
        "typed_config": {"@type": f"{_TYPE}extensions.filters.{name}.v3.{message}", **values},
    }
