"""The peer in Go decides as the service does, or it would be no measure of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import status_pb2
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.session_service_pb2_grpc import SessionServiceStub

from benchmarks.go_programs import build_peer
from benchmarks.population import create_sessions
from benchmarks.processes import SERVICE, go_peer, redis_server, server, write_config
from session_service.config import load_config
from session_service.domain.models import AccessClaims
from session_service.tokens.access import JwtAccessTokens
from session_service.tokens.keys import load_key_ring
from tests.support import require_tool

if TYPE_CHECKING:
    from session_service.domain.models import TokenGrant


@dataclass
class Both:
    """The service and the peer over one Redis, and a configuration of that."""

    service: SessionServiceStub
    peer: SessionServiceStub
    config: Path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Both run, over an empty Redis."""
    require_tool("go")
    directory = tmp_path_factory.mktemp("peer")
    program = build_peer(directory)
    with ExitStack() as stack:
        config = write_config(directory, stack.enter_context(redis_server(directory / "redis")))
        running = [
            stack.enter_context(server(SERVICE, config)),
            stack.enter_context(go_peer(program, config)),
        ]
        service, peer = (
            SessionServiceStub(stack.enter_context(grpc.insecure_channel(each.address))) for each in running
        )
        yield Both(service, peer, config)


@pytest.fixture
def grant(both: Both) -> TokenGrant:
    """The tokens of a new session."""
    [created] = create_sessions(both.config, 1, granted=1)
    return created


def answer_of(stub: SessionServiceStub, request: pb.VerifyTokenRequest, bearer: str = "") -> object:
    """What a call is answered with: the response, or the status with its details."""
    metadata = (("authorization", f"Bearer {bearer}"),) if bearer else ()
    call = stub.VerifyToken.future(request, metadata=metadata, timeout=10)
    if call.code() is grpc.StatusCode.OK:
        return call.result()
    trailers = dict(call.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    return call.code(), call.details(), status


def assert_alike(both: Both, token: str, bearer: str = "") -> object:
    """Ask both, and return their one answer."""
    request = pb.VerifyTokenRequest(token=token)
    ours, theirs = answer_of(both.service, request, bearer), answer_of(both.peer, request, bearer)
    assert ours == theirs
    return ours


def test_a_live_session_is_answered_alike(both: Both, grant: TokenGrant) -> None:
    """Every field of the answer is the same, with the token in the message or in the metadata."""
    verified = assert_alike(both, grant.access_token)
    assert isinstance(verified, pb.VerifyTokenResponse)
    assert verified.session_id == grant.session_id
    assert assert_alike(both, "", bearer=grant.access_token) == verified


def test_a_session_that_ends_is_refused_alike(both: Both, grant: TokenGrant) -> None:
    """The peer asks Redis each time, for a token that it has verified too."""
    assert_alike(both, grant.access_token)
    both.service.Logout(pb.LogoutRequest(), metadata=(("authorization", f"Bearer {grant.access_token}"),))
    assert "SESSION_ENDED" in str(assert_alike(both, grant.access_token))


def test_what_is_no_token_is_refused_alike(both: Both, grant: TokenGrant) -> None:
    """No token, garbage, another signature, and a token of another kind."""
    assert "TOKEN_MISSING" in str(assert_alike(both, ""))
    for token in ("garbage", grant.access_token[:-4] + "AAAA", grant.refresh_token, grant.access_token + "="):
        assert "TOKEN_INVALID" in str(assert_alike(both, token))


def test_claims_are_held_alike(both: Both) -> None:
    """Issuer, audience and times; an expired token is told from one that is not valid."""
    now = int(time.time())
    for reason, token in (
        ("TOKEN_EXPIRED", signed(both, expires=now - 1)),
        ("TOKEN_INVALID", signed(both, issuer="another")),
        ("TOKEN_INVALID", signed(both, audience="another")),
        ("TOKEN_INVALID", signed(both, issued=now + 60)),
        ("SESSION_ENDED", signed(both)),
    ):
        assert reason in str(assert_alike(both, token))


def test_any_staleness_is_answered_strictly(both: Both, grant: TokenGrant) -> None:
    """An answer that is not out of date is never wrong."""
    request = pb.VerifyTokenRequest(token=grant.access_token, max_staleness=Duration(seconds=1))
    assert answer_of(both.peer, request) == answer_of(both.service, request)


def signed(both: Both, *, issuer: str = "", audience: str = "", issued: int = 0, expires: int = 0) -> str:
    """A token by the key of both, of a session that is not there."""
    tokens = load_config(both.config, {}).tokens
    assert tokens.key_file
    ring = load_key_ring(tokens.key_file)
    issuing = JwtAccessTokens(
        ring, issuer or tokens.issuer, audience or tokens.audience, clock=time.time, leeway=0
    )
    now = int(time.time())
    claims = AccessClaims(
        user_id="u" * 22,
        session_id="s" * 22,
        token_id="t" * 22,
        issued_at=issued or now - 60,
        expires_at=expires or now + 600,
    )
    return issuing.issue(claims)
