"""Envoy's configuration: the values that matter, and that the real Envoy takes each variant."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from session_service import envoy_binary
from session_service.rpc.engines.envoy_bootstrap import Listener, bootstrap
from session_service.rpc.limits import LARGER_REQUESTS, Limits, ServerTls
from tests.support import LOOPBACK, CertificateAuthority, free_port
from tests.support.tools import missing

LIMITS = Limits(
    max_concurrent_rpcs=7,
    max_concurrent_streams=42,
    max_message_bytes=1 << 16,
    max_metadata_bytes=1 << 14,
    max_connection_age=300,
    max_connection_age_grace=60,
    handshake_timeout=2.5,
)
PLAIN = Listener("127.0.0.1:50051", share_port=False, limits=LIMITS, tls=None, cors_origins=())


def tls(authority: CertificateAuthority, *, mutual: bool = False) -> ServerTls:
    """The server's certificate, and whether clients need one."""
    own = authority.issue("localhost")
    return ServerTls(own.certificate, own.key, authority.certificate if mutual else None, mutual)


def made(listener: Listener, *, json_log: bool = False) -> Any:
    """The configuration, as JSON has it."""
    whole = bootstrap(listener, "tests.support.probe:application", Path("/run/a.sock"), json_log=json_log)
    return json.loads(json.dumps(whole))


def the_listener(listener: Listener) -> Any:
    """The one listener in it."""
    [found] = made(listener)["static_resources"]["listeners"]
    return found


def the_http(listener: Listener) -> Any:
    """What it says of HTTP."""
    [chain] = the_listener(listener)["filter_chains"]
    [manager] = chain["filters"]
    return manager["typed_config"]


def filters(listener: Listener) -> list[str]:
    """The HTTP filters, in order."""
    return [each["name"].rpartition(".")[2] for each in the_http(listener)["http_filters"]]


@pytest.mark.parametrize("shared", [True, False])
def test_the_port_is_shared_only_when_asked_for(shared: bool) -> None:
    """Envoy's own default shares it, and a stale process would silently get half of the calls."""
    assert the_listener(replace(PLAIN, share_port=shared))["enable_reuse_port"] is shared


def test_the_admin_interface_is_for_this_user_alone() -> None:
    """A unix socket that nobody else may open; no port."""
    assert made(PLAIN)["admin"] == {"address": {"pipe": {"path": "/run/a.sock", "mode": 0o600}}}


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("0.0.0.0:1", {"socket_address": {"address": "0.0.0.0", "port_value": 1}}),  # noqa: S104 - a value
        ("[::1]:65535", {"socket_address": {"address": "::1", "port_value": 65535}}),
        ("unix:/run/s.sock", {"pipe": {"path": "/run/s.sock"}}),
    ],
)
def test_the_address_is_the_configured_one(listen: str, address: dict[str, Any]) -> None:
    """Of every family."""
    assert the_listener(replace(PLAIN, listen=listen))["address"] == address


def test_a_name_is_all_that_it_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Envoy takes no names: the first address is the listener's, the others are listened on besides."""
    found = [(None, None, None, "", (host, 7)) for host in ("127.0.0.1", "::1", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    listener = the_listener(replace(PLAIN, listen="localhost:7"))
    assert listener["address"]["socket_address"]["address"] == "127.0.0.1"
    [other] = listener["additional_addresses"]
    assert other["address"]["socket_address"] == {"address": "::1", "port_value": 7}


def test_the_path_of_a_unix_socket_is_absolute() -> None:
    """Envoy starts in a directory of its own."""
    path = the_listener(replace(PLAIN, listen="unix:s.sock"))["address"]["pipe"]["path"]
    assert path == str(Path.cwd() / "s.sock")


def test_without_tls_there_is_none() -> None:
    """Clear text has no transport socket, and looks at the first bytes in time."""
    [chain] = the_listener(PLAIN)["filter_chains"]
    assert "transport_socket" not in chain
    assert the_listener(PLAIN)["listener_filters_timeout"] == "2.5s"


@pytest.mark.parametrize("mutual", [True, False])
def test_tls_is_at_least_1_2_and_asks_for_certificates_of_the_authority(
    certificate_authority: CertificateAuthority, mutual: bool
) -> None:
    """Old versions are refused, and a clients' authority counts only where set (ASVS 12.1.1, 12.3.5)."""
    files = tls(certificate_authority, mutual=mutual)
    [chain] = the_listener(replace(PLAIN, tls=files))["filter_chains"]
    context = chain["transport_socket"]["typed_config"]
    common = context["common_tls_context"]
    assert common["tls_params"] == {"tls_minimum_protocol_version": "TLSv1_2"}
    assert context["require_client_certificate"] is mutual
    authority = {"trusted_ca": {"filename": str(certificate_authority.certificate)}} if mutual else None
    assert common.get("validation_context") == authority
    assert chain["transport_socket_connect_timeout"] == "2.5s"


def test_limits_are_set() -> None:
    """Streams, age, header sizes and the time that a request's head may take are the configured ones."""
    http = the_http(PLAIN)
    assert http["http2_protocol_options"]["max_concurrent_streams"] == 42
    assert http["common_http_protocol_options"]["max_connection_duration"] == "300s"
    assert http["request_headers_timeout"] == "2.5s"
    # Beyond the limit, so that a call is refused by name instead of by a reset; but not far beyond.
    assert 16 < http["max_request_headers_kb"] <= 16 + 80
    [monitor] = made(PLAIN)["overload_manager"]["resource_monitors"]
    assert monitor["typed_config"]["max_active_downstream_connections"] > 0


def test_larger_requests_have_a_limit_of_their_own() -> None:
    """By REST the two paths of a batch take four times what any other takes, and are like any other else."""
    for origins in ((), ("https://a.example",)):
        [host] = the_http(replace(PLAIN, cors_origins=origins))["route_config"]["virtual_hosts"]
        *_, rest = host["routes"]
        larger = {route["match"].get("path"): route for route in host["routes"]}
        for path in LARGER_REQUESTS:
            route = larger[path]
            buffer = route["typed_per_filter_config"].pop("envoy.filters.http.buffer")
            assert buffer["buffer"] == {"max_request_bytes": 4 << 16}
            assert route | {"match": rest["match"]} == rest


def test_nobodys_word_is_taken_for_his_address() -> None:
    """Envoy adds nothing to x-forwarded-for and takes the peer's own address."""
    http = the_http(PLAIN)
    assert (http["use_remote_address"], http["skip_xff_append"]) == (True, True)


def test_python_answers_last() -> None:
    """What Envoy translates comes before it, and CORS before all where it is asked for."""
    assert filters(PLAIN) == [
        "header_mutation",
        "buffer",
        "grpc_web",
        "grpc_json_transcoder",
        "fault",
        "dynamic_modules",
    ]
    assert filters(replace(PLAIN, cors_origins=("https://a.example",)))[0] == "cors"


def test_only_named_origins_may_read_answers() -> None:
    """Each exactly, none by pattern; without any there is no policy at all."""
    [host] = the_http(replace(PLAIN, cors_origins=("https://a.example",)))["route_config"]["virtual_hosts"]
    policy = host["typed_per_filter_config"]["envoy.filters.http.cors"]
    assert policy["allow_origin_string_match"] == [{"exact": "https://a.example"}]
    [host] = the_http(PLAIN)["route_config"]["virtual_hosts"]
    assert "typed_per_filter_config" not in host


@pytest.fixture
def validate(tmp_path: Path) -> Callable[[Listener], subprocess.CompletedProcess[str]]:
    """A function that has the real Envoy look at a configuration; skips aloud without one."""
    if problem := envoy_binary.unavailable():
        missing(f"no Envoy: {problem}")

    def validate(listener: Listener) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "envoy.json"
        whole = bootstrap(listener, "tests.support.probe:application", tmp_path / "a.sock", json_log=True)
        file.write_text(json.dumps(whole))
        return subprocess.run(
            [envoy_binary.path(), "--mode", "validate", "--config-path", file],
            env={**os.environ, **envoy_binary.environment()},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return validate


@pytest.mark.parametrize("variant", ["plain", "shared", "unix", "ipv6", "tls", "mutual tls", "cors"])
def test_envoy_takes_it(validate: Any, certificate_authority: CertificateAuthority, variant: str) -> None:
    """Every setting is one that this Envoy knows, in every variant, and none is deprecated."""
    plain = replace(PLAIN, listen=f"{LOOPBACK}:{free_port()}")
    ended = validate(
        {
            "plain": plain,
            "shared": replace(plain, share_port=True),
            "unix": replace(plain, listen="unix:/tmp/never.sock"),
            "ipv6": replace(plain, listen="[::1]:50051"),
            "tls": replace(plain, tls=tls(certificate_authority)),
            "mutual tls": replace(plain, tls=tls(certificate_authority, mutual=True)),
            "cors": replace(plain, cors_origins=("https://a.example", "http://localhost:3000")),
        }[variant]
    )
    assert ended.returncode == 0, ended.stderr
    assert "deprecated" not in ended.stderr.lower()


def test_envoy_refuses_what_is_wrong(validate: Any) -> None:
    """So that the test above says something: a certificate that is not there is told."""
    ended = validate(replace(PLAIN, tls=ServerTls(Path("/none.pem"), Path("/none.key"), None, False)))
    assert ended.returncode != 0
    assert "/none" in ended.stderr
