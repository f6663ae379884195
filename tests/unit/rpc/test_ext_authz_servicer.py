"""Envoy's messages: what is read of a request, and how each decision is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from session_service.domain.errors import RoleRequired, SessionEnded, StoreUnavailable, TokenMissing
from session_service.domain.models import Identity
from session_service.rpc.envoy_auth import external_auth_pb2 as pb
from session_service.rpc.ext_authz_servicer import ExtAuthzServicer
from tests.support.decisions import ADA, Decision, Told

ALL = ["x-user-id", "x-username", "x-session-id", "x-user-roles"]
CONTEXT: Any = None


async def _check(
    outcome: Identity | Exception | None, *, remove: bool = False, **request: Any
) -> pb.CheckResponse:
    servicer = ExtAuthzServicer(Decision(outcome), Told(), remove_authorization=remove)  # type: ignore[arg-type]
    return await servicer.Check(_request(**request), CONTEXT)


def _request(path: str = "/x", headers: dict[str, str] | None = None, **extensions: str) -> pb.CheckRequest:
    http = pb.AttributeContext.HttpRequest(path=path, headers=headers)
    return pb.CheckRequest(
        attributes=pb.AttributeContext(
            request=pb.AttributeContext.Request(http=http), context_extensions=extensions
        )
    )


def _set(response: pb.CheckResponse) -> dict[str, str]:
    replace_it = pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    assert all(each.append_action == replace_it for each in response.ok_response.headers)
    return {each.header.key: each.header.value for each in response.ok_response.headers}


async def _asked(request: pb.CheckRequest) -> tuple[str | None, ...]:
    decision = Decision(None)
    servicer = ExtAuthzServicer(decision, Told(), remove_authorization=False)  # type: ignore[arg-type]
    await servicer.Check(request, CONTEXT)
    return decision.question


async def test_what_is_asked() -> None:
    """Path, the two headers and the role of the route go into the decision; nothing else does."""
    headers = {"authorization": "Bearer a", "cookie": "c=d", "x-user-id": "root"}
    assert await _asked(_request("/a?b", headers, role="admin")) == ("/a?b", "Bearer a", "c=d", "admin")
    assert await _asked(_request()) == ("/x", None, None, None)
    assert await _asked(pb.CheckRequest()) == ("", None, None, None)


async def test_an_identity_is_told_in_headers_and_metadata() -> None:
    """Headers replace whatever came under their names; the metadata has the facts as they are."""
    response = await _check(ADA)
    assert response.status.code == 0
    assert _set(response) == dict(zip(ALL, ["u-1", "%C5%BBaneta", "s-1", "editor,reader"], strict=True))
    assert not response.ok_response.headers_to_remove
    assert MessageToDict(response.dynamic_metadata) == {
        "user_id": "u-1",
        "username": "Żaneta",
        "session_id": "s-1",
        "roles": ["editor", "reader"],
    }


async def test_without_roles_the_header_is_removed() -> None:
    """A client that has none cannot bring some."""
    response = await _check(ADA._replace(roles=()))
    assert list(_set(response)) == ALL[:3]
    assert response.ok_response.headers_to_remove == ["x-user-roles"]
    assert MessageToDict(response.dynamic_metadata)["roles"] == []


async def test_a_public_path_removes_every_identity() -> None:
    """Nobody is known there, so nobody may seem to be."""
    response = await _check(None)
    assert response.WhichOneof("http_response") == "ok_response"
    assert response.ok_response.headers_to_remove == ALL
    assert not response.ok_response.headers
    assert not response.HasField("dynamic_metadata")


@pytest.mark.parametrize("outcome", [ADA, None])
async def test_the_token_is_removed_if_configured(outcome: Identity | None) -> None:
    """The server behind the gateway does not see it then."""
    assert "authorization" in (await _check(outcome, remove=True)).ok_response.headers_to_remove
    assert "authorization" not in (await _check(outcome)).ok_response.headers_to_remove


@pytest.mark.parametrize(
    ("error", "status", "hint"),
    [
        (TokenMissing(), 401, ("www-authenticate", 'Bearer realm="session-service"')),
        (SessionEnded(), 401, ("www-authenticate", 'Bearer error="invalid_token"')),
        (RoleRequired(role="x"), 403, ("www-authenticate", 'Bearer error="insufficient_scope"')),
        (StoreUnavailable(2), 503, ("retry-after", "2")),
        (RuntimeError("a secret"), 500, ("content-type", "application/json")),
    ],
)
async def test_a_denial(error: Exception, status: int, hint: tuple[str, str]) -> None:
    """Whatever was raised, the call answers, the status is not OK, and the client gets its status."""
    response = await _check(error)
    assert response.status.code != 0
    assert response.WhichOneof("http_response") == "denied_response"
    assert response.denied_response.status.code == status
    assert hint in [(each.header.key, each.header.value) for each in response.denied_response.headers]
    assert json.loads(response.denied_response.body)["code"] == response.status.code
    assert "a secret" not in str(response)


@pytest.mark.parametrize(
    "extensions", [{"roles": "admin"}, {"Role": "admin"}, {"role": "a", "x": "b"}, {"": ""}]
)
async def test_an_unknown_extension_opens_nothing(extensions: dict[str, str]) -> None:
    """A route whose demand is misspelt is closed, and not open to everybody."""
    named: dict[str, Any] = {**extensions}
    response = await _check(ADA, **named)
    assert response.denied_response.status.code == 400


@pytest.mark.parametrize("field", ["user_id", "username", "session_id"])
async def test_an_identity_that_could_inject_is_denied(field: str) -> None:
    """Whoever writes into Redis gets no line of a header; the answer is 500 and not the identity."""
    wrong: dict[str, Any] = {field: "x\r\nx-user-roles: admin"}
    response = await _check(ADA._replace(**wrong))
    assert response.denied_response.status.code == 500
    assert response.status.code != 0


async def test_an_answer_does_not_leak_into_the_next() -> None:
    """What was set for one request is not there for another."""
    servicer = ExtAuthzServicer(Decision(ADA), Told(), remove_authorization=True)  # type: ignore[arg-type]
    first = await servicer.Check(_request(), CONTEXT)
    copy = first.SerializeToString(deterministic=True)
    await servicer.Check(_request(), CONTEXT)
    assert first.SerializeToString(deterministic=True) == copy
    assert len(first.ok_response.headers) == 4
