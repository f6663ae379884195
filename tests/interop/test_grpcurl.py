"""The real grpcurl, knowing nothing but what reflection tells it: every RPC, and errors to be read."""

from __future__ import annotations

import base64
import json
import subprocess
from collections import ChainMap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import grpc
import pytest
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_service_pb2
from session_api.v1.admin_service_pb2_grpc import AdminServiceStub

from session_service.rpc.mount import ADMIN_SERVICE, SERVICES, SESSION_SERVICE
from tests.support import ServiceProcess, require_tool
from tests.support.interop import DESCRIPTOR_SET

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PASSWORD: Final = "correct horse battery"
SERVICE_DESCRIPTORS: Final = [
    session_service_pb2.DESCRIPTOR.services_by_name["SessionService"],
    admin_pb.DESCRIPTOR.services_by_name["AdminService"],
]
METHODS: Final = [
    f"{service.full_name}/{method.name}" for service in SERVICE_DESCRIPTORS for method in service.methods
]

User = dict[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """A call of one RPC; `{user_id}` and the like are of ada, who has a session, or of bob, who has none.

    Args:
        request: what is sent, as JSON; several messages of a stream.
        answer: what the answer must hold, among other things; of a stream, what its messages hold together.
        caller: whose credential goes with it.
    """

    request: Mapping[str, Any] | Sequence[Mapping[str, Any]] = field(default_factory=dict)
    answer: Mapping[str, Any] = field(default_factory=dict)
    caller: Literal["nobody", "ada", "operator"] = "operator"


ADA: Final = {"user_id": "{user_id}"}
CASES: Final = {
    f"{SESSION_SERVICE}/Login": Case(
        {"username": "bob", "password": PASSWORD, "device": {"name": "grpcurl"}},
        {"tokenType": "Bearer", "expiresIn": 1800, "user": {"username": "bob"}, "newDevice": True},
        "nobody",
    ),
    f"{SESSION_SERVICE}/RefreshToken": Case(
        {"refresh_token": "{refresh_token}"}, {"tokenType": "Bearer", "sessionId": "{session_id}"}, "nobody"
    ),
    f"{SESSION_SERVICE}/VerifyToken": Case({}, {"username": "ada", "sessionId": "{session_id}"}, "ada"),
    f"{SESSION_SERVICE}/BatchVerifyTokens": Case(
        {"tokens": ["{access_token}", "nonsense"]},
        {
            "results": [
                {"verified": {"username": "ada", "sessionId": "{session_id}"}},
                {"failure": {"code": 16, "reason": "ERROR_REASON_TOKEN_INVALID"}},
            ]
        },
        "nobody",
    ),
    f"{SESSION_SERVICE}/WatchTokens": Case(
        [{"verify": {"id": 1, "token": "{access_token}"}}, {"ping": {"id": 2}}],
        {"verified": {"id": 1, "identity": {"username": "ada"}}, "pong": {"id": 2}},
        "nobody",
    ),
    f"{SESSION_SERVICE}/ListSessions": Case({"page_size": 5}, {"totalSize": 1}, "ada"),
    f"{SESSION_SERVICE}/Logout": Case(caller="ada"),
    f"{SESSION_SERVICE}/LogoutAll": Case({"keep_current": False}, {"revokedCount": 1}, "ada"),
    f"{SESSION_SERVICE}/RevokeSession": Case({"session_id": "{session_id}"}, caller="ada"),
    f"{SESSION_SERVICE}/ChangePassword": Case(
        {"current_password": PASSWORD, "new_password": "another horse"}, caller="ada"
    ),
    f"{ADMIN_SERVICE}/CreateUser": Case(
        {"username": "zoë", "password": PASSWORD, "roles": ["reader"]},
        {"user": {"username": "zoë", "roles": ["reader"]}},
    ),
    f"{ADMIN_SERVICE}/GetUser": Case({"username": "ADA"}, {"user": {"userId": "{user_id}"}}),
    f"{ADMIN_SERVICE}/ListUsers": Case({"page_size": 1}, {"totalSize": 2}),
    f"{ADMIN_SERVICE}/SetPassword": Case(ADA | {"password": "another horse"}, {"revokedCount": 1}),
    f"{ADMIN_SERVICE}/SetUserRoles": Case(ADA | {"roles": ["writer"]}, {"user": {"roles": ["writer"]}}),
    f"{ADMIN_SERVICE}/SetUserDisabled": Case(
        ADA | {"disabled": True}, {"user": {"disabled": True}, "revokedCount": 1}
    ),
    f"{ADMIN_SERVICE}/DeleteUser": Case(ADA, {"revokedCount": 1}),
    f"{ADMIN_SERVICE}/ListUserSessions": Case(ADA, {"totalSize": 1}),
    f"{ADMIN_SERVICE}/RevokeUserSession": Case(ADA | {"session_id": "{session_id}"}),
    f"{ADMIN_SERVICE}/RevokeUserSessions": Case(ADA, {"revokedCount": 1}),
    f"{ADMIN_SERVICE}/CreateSession": Case(
        {"user_id": "sso-1", "username": "eve", "request_id": "r-1"}, {"user": {"userId": "sso-1"}}
    ),
    f"{ADMIN_SERVICE}/GetStats": Case({}, {"users": 2}),
    f"{ADMIN_SERVICE}/CleanUpSessions": Case(),
}


@pytest.fixture
def users(service: ServiceProcess) -> User:
    """Ada with a session, by what a case may name of her, and bob without one."""
    metadata = (("x-service-key", service.admin_key),)
    with grpc.insecure_channel(service.address) as channel:
        admin = AdminServiceStub(channel)
        for name in ("bob", "ada"):
            request = admin_pb.CreateUserRequest(username=name, password=PASSWORD)
            user = admin.CreateUser(request, metadata=metadata).user
        login = admin.CreateSession(
            admin_pb.CreateSessionRequest(user_id=user.user_id, username="ada"), metadata=metadata
        )
    return {
        "user_id": user.user_id,
        "session_id": login.session_id,
        "access_token": login.access_token,
        "refresh_token": login.refresh_token,
    }


def _run(service: ServiceProcess, *arguments: str, flags: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [require_tool("grpcurl"), "-plaintext", *flags, service.address, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def _shown(service: ServiceProcess, *arguments: str) -> str:
    """What grpcurl prints when all is well."""
    done = _run(service, *arguments, flags=())
    assert done.returncode == 0, done.stderr
    return done.stdout


def _call(service: ServiceProcess, method: str, request: object, *flags: str) -> Any:
    """The answer of a call, or the status it failed with, both from JSON; those of a stream in one."""
    messages = request if isinstance(request, list) else [request]
    data = "\n".join(map(json.dumps, messages))
    done = _run(service, method, flags=("-format-error", "-d", data, *flags))
    told = done.stderr if done.returncode else done.stdout
    return dict(ChainMap(*_documents(told)))


def _documents(text: str) -> Iterator[Any]:
    """The JSON documents of a text, which come one after the other."""
    decoder = json.JSONDecoder()
    while text := text.strip():
        found, end = decoder.raw_decode(text)
        yield found
        text = text[end:]


def _filled(template: Any, facts: User) -> Any:
    """A request or an answer with what it names of ada."""
    if isinstance(template, dict):
        return {name: _filled(value, facts) for name, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, facts) for value in template]
    return template.format(**facts) if isinstance(template, str) else template


def _holds(answer: Any, expected: Any) -> bool:
    """Whether an answer has what is expected of it, whatever else it has."""
    if isinstance(expected, dict):
        return isinstance(answer, dict) and all(
            _holds(answer.get(name), value) for name, value in expected.items()
        )
    if isinstance(expected, list):
        return len(answer) == len(expected) and all(map(_holds, answer, expected))
    return bool(answer == expected)


@pytest.mark.parametrize("method", METHODS)
def test_every_rpc_can_be_called(service: ServiceProcess, users: User, method: str) -> None:
    """Grpcurl finds the RPC by reflection, sends JSON and metadata, and prints the answer."""
    assert method in CASES, "an RPC without a case: add one"
    case = CASES[method]
    metadata = {
        "nobody": "x-note: nobody",
        "ada": f"authorization: Bearer {users['access_token']}",
        "operator": f"x-service-key: {service.admin_key}",
    }[case.caller]
    answer = _call(service, method, _filled(case.request, users), "-H", metadata)

    assert "code" not in answer, answer
    assert _holds(answer, _filled(case.answer, users)), answer


def test_no_case_is_stale() -> None:
    """Every case is of an RPC that there is."""
    assert set(CASES) == set(METHODS)


def test_services_and_rpcs_are_listed(service: ServiceProcess) -> None:
    """What `list` prints is all there is."""
    listed = _shown(service, "list").split()
    rpcs = [rpc for each in SERVICE_DESCRIPTORS for rpc in _shown(service, "list", each.full_name).split()]

    assert set(listed) >= set(SERVICES)
    assert sorted(rpcs) == sorted(method.replace("/", ".") for method in METHODS)


@pytest.mark.parametrize(
    ("symbol", "shown"),
    [
        (SESSION_SERVICE, "// Proves a user's name and password and begins a session."),
        (f"{SESSION_SERVICE}.Logout", 'additional_bindings: [ { post: "/agent_backend/user/logout"'),
        (f"{ADMIN_SERVICE}.GetStats", "// Answers with the service's figures."),
        ("session.v1.LogoutAllRequest", "// True to keep the session that the call is made with."),
        ("session.v1.ErrorReason", "ERROR_REASON_SESSION_ENDED"),
    ],
)
def test_a_description_shows_comments_and_paths(service: ServiceProcess, symbol: str, shown: str) -> None:
    """What `describe` prints explains services, RPCs, messages and fields as the protos do."""
    assert shown in _shown(service, "describe", symbol)


def test_a_bad_request_is_readable(service: ServiceProcess) -> None:
    """The reason and every wrong field show, with what is wrong about it."""
    status = _call(service, f"{SESSION_SERVICE}/Login", {"username": "a b"})
    info, bad = status["details"]

    assert status["code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert (info["@type"], info["reason"]) == (_type("ErrorInfo"), "INVALID_ARGUMENT")
    assert bad["@type"] == _type("BadRequest")
    assert [each["field"] for each in bad["fieldViolations"]] == ["username", "password"]
    assert all(each["description"] for each in bad["fieldViolations"])


def test_the_time_to_wait_is_readable(service: ServiceProcess) -> None:
    """A guesser who is stopped sees for how long."""
    guess = {"username": "nobody", "password": "guess"}
    *_, status = [_call(service, f"{SESSION_SERVICE}/Login", guess) for _ in range(3)]
    info, retry = status["details"]

    assert status["code"] == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert (info["reason"], info["domain"]) == ("TOO_MANY_ATTEMPTS", "session.v1")
    assert retry["@type"] == _type("RetryInfo")
    assert 0 < float(retry["retryDelay"].removesuffix("s")) <= 900


def test_the_end_of_a_session_is_readable(service: ServiceProcess, users: User) -> None:
    """After a logout the very next check says SESSION_ENDED, as a person reads it."""
    metadata = ("-H", f"authorization: Bearer {users['access_token']}")
    assert _call(service, f"{SESSION_SERVICE}/Logout", {}, *metadata) == {}
    told = _run(service, f"{SESSION_SERVICE}/VerifyToken", flags=metadata).stderr

    assert "Code: Unauthenticated" in told
    assert '"reason": "SESSION_ENDED"' in told


def test_metadata_goes_both_ways(service: ServiceProcess) -> None:
    """Binary metadata is taken, and the rich status is in the trailers that `-v` shows."""
    flags = ("-v", "-H", "x-trace-bin: AP/+")
    shown = _run(service, f"{SESSION_SERVICE}/VerifyToken", flags=flags).stdout
    [details] = [line for line in shown.splitlines() if line.startswith("grpc-status-details-bin: ")]

    assert b"TOKEN_MISSING" in base64.b64decode(details.partition(": ")[2] + "==")


def test_streams_are_shown(service: ServiceProcess) -> None:
    """A Watch of health prints its first state and ends at grpcurl's deadline."""
    flags = ("-d", json.dumps({"service": SESSION_SERVICE}), "-max-time", "1")
    done = _run(service, "grpc.health.v1.Health/Watch", flags=flags)

    assert json.loads(done.stdout) == {"status": "SERVING"}
    assert "DeadlineExceeded" in done.stderr


def test_the_descriptor_set_takes_the_place_of_reflection(service: ServiceProcess) -> None:
    """Where reflection is off, the file in the repository tells grpcurl as much, errors included."""
    flags = ("-use-reflection=false", "-protoset", str(DESCRIPTOR_SET))
    status = _call(service, f"{SESSION_SERVICE}/Login", {"username": "a b"}, *flags)
    info, bad = status["details"]

    assert info["reason"] == "INVALID_ARGUMENT"
    assert [each["field"] for each in bad["fieldViolations"]] == ["username", "password"]


def _type(name: str) -> str:
    return f"type.googleapis.com/google.rpc.{name}"
