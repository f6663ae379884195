"""Calls from a browser's page: gRPC-Web, and which pages may call at all."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from session_api.v1 import session_service_pb2 as pb

from tests.support.rest import ORIGIN, RestClient, answer

BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text"
ELSEWHERE = [
    "https://evil.example.com",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.org",
    "https://APP.example.com",
    "null",
    "*",
]
TRAILERS = 0x80


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """What a call of gRPC-Web got: its message, if it has one, and its trailers."""

    message: bytes | None
    trailers: dict[str, str]


def web_call(client: RestClient, kind: str, method: str, request: Message, **headers: str) -> WebAnswer:
    """Make a unary call of gRPC-Web, by hand-made frames."""
    raw = request.SerializeToString()
    body = struct.pack(">BI", 0, len(raw)) + raw
    response = client.call(
        "POST",
        f"/session.v1.SessionService/{method}",
        content=base64.b64encode(body) if kind == TEXT else body,
        headers={"content-type": kind, "accept": kind, "x-grpc-web": "1", **headers},
    )
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(kind.removesuffix("+proto"))
    return _read(response, kind)


def _read(response: httpx.Response, kind: str) -> WebAnswer:
    body = b"".join(_parts(response.content)) if kind == TEXT else response.content
    message = None
    # Of a call that fails at once, the trailers are the header.
    trailers = {name: value for name, value in response.headers.items() if name.startswith("grpc-")}
    while body:
        flag, size = struct.unpack_from(">BI", body)
        frame, body = body[5 : 5 + size], body[5 + size :]
        assert len(frame) == size
        if flag == TRAILERS:
            lines = frame.decode().splitlines()
            trailers |= {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
        else:
            message = frame
    return WebAnswer(message, trailers)


def _parts(text: bytes) -> Iterator[bytes]:
    """Base64 that may have been padded at the end of each part of a stream."""
    for start in range(0, len(text), 4):
        yield base64.b64decode(text[start : start + 4], validate=True)


@pytest.fixture
def web(rest: RestClient) -> RestClient:
    """A service that speaks gRPC-Web."""
    if not rest.one_port:
        pytest.skip("beside grpc.aio there is no gRPC-Web")
    return rest


@pytest.mark.parametrize("kind", [BINARY, TEXT])
def test_a_call_of_grpc_web(web: RestClient, kind: str) -> None:
    """The message, then the trailers with the status, all in the body."""
    session = web.open_session("web")
    found = web_call(
        web, kind, "VerifyToken", pb.VerifyTokenRequest(), authorization=f"Bearer {session['access_token']}"
    )
    assert found.trailers["grpc-status"] == "0"
    assert found.message is not None
    assert pb.VerifyTokenResponse.FromString(found.message).user_id == "web"


@pytest.mark.parametrize("kind", [BINARY, TEXT])
def test_a_call_of_grpc_web_that_fails(web: RestClient, kind: str) -> None:
    """The status comes with its details, as in gRPC."""
    found = web_call(web, kind, "VerifyToken", pb.VerifyTokenRequest(token="bad"))
    assert (found.message, found.trailers["grpc-status"]) == (None, "16")
    details = found.trailers["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(details + "=" * (-len(details) % 4)))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "TOKEN_INVALID"


def test_broken_frames_of_grpc_web(web: RestClient) -> None:
    """INVALID_ARGUMENT for what is no base64 or no frame, and the service lives."""
    for kind, body in ((TEXT, b"*no base64*"), (BINARY, b"\x00\x00\x00\x00\x09x"), (BINARY, b"")):
        response = web.call(
            "POST",
            "/session.v1.SessionService/VerifyToken",
            content=body,
            headers={"content-type": kind, "x-grpc-web": "1"},
        )
        assert response.status_code == 400 or _read(response, kind).trailers["grpc-status"] == "3"
    web.open_session()


def test_a_preflight(rest: RestClient) -> None:
    """A page of a configured origin may send what REST and gRPC-Web need, and no cookie."""
    for method, path in (
        ("DELETE", "/v1/sessions/x"),
        ("POST", "/session.v1.SessionService/Login"),
    ):
        asked = {
            "origin": ORIGIN,
            "access-control-request-method": method,
            "access-control-request-headers": "authorization,content-type,x-grpc-web",
        }
        response = rest.call("OPTIONS", path, headers=asked)
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert method in response.headers["access-control-allow-methods"].split(",")
        allowed = set(response.headers["access-control-allow-headers"].split(","))
        assert {"authorization", "content-type", "x-grpc-web", "x-user-agent", "grpc-timeout"} <= allowed
        assert "access-control-allow-credentials" not in response.headers


def test_an_answer_to_a_page(rest: RestClient) -> None:
    """The page may read the answer, of whatever status, and the header fields that say what helps."""
    token = rest.open_session()["access_token"]
    good = rest.call("GET", "/v1/sessions", token=token, headers={"origin": ORIGIN})
    answer(good)
    failed = rest.call("GET", "/v1/sessions", headers={"origin": ORIGIN})
    refused = rest.call("POST", "/v1/login", content=b"{", headers={"origin": ORIGIN})
    assert [good.status_code, failed.status_code, refused.status_code] == [200, 401, 400]
    for response in (good, failed, refused):
        assert response.headers["access-control-allow-origin"] == ORIGIN
        exposed = set(response.headers["access-control-expose-headers"].split(","))
        assert {"grpc-status", "grpc-message", "www-authenticate", "retry-after"} <= exposed
        assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("origin", ELSEWHERE)
def test_a_page_from_elsewhere(rest: RestClient, origin: str) -> None:
    """Its browser is given no leave: neither by the preflight nor by the answer."""
    asked = {"origin": origin, "access-control-request-method": "GET"}
    for response in (
        rest.call("OPTIONS", "/v1/sessions", headers=asked),
        rest.call("GET", "/v1/sessions", headers={"origin": origin}),
    ):
        assert not [name for name in response.headers if name.startswith("access-control-")]


def test_a_preflight_is_no_yes_to_a_gateway(rest: RestClient) -> None:
    """Forward-auth, which is off here, answers itself: 200 would let its client's request through."""
    preflight = {"origin": ORIGIN, "access-control-request-method": "GET"}
    assert rest.call("OPTIONS", "/authz", headers=preflight).status_code == 404
    assert rest.call("OPTIONS", "/v1/sessions", headers=preflight).status_code == 200
