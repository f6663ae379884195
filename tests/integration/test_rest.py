"""REST on the port of gRPC: every HTTP path that the contract binds, and what its JSON looks like."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tests.support.rest import Binding, RestClient, answer, bindings, failure, path_of
from tests.support.service_client import PASSWORD

INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
ANOTHER_PASSWORD: Final = "another correct horse"

# As they were agreed on; written down a second time, so that none changes by accident.
PATHS: Final = {
    "Login": ["POST /v1/login", "POST /agent_backend/user/login"],
    "RefreshToken": ["POST /v1/token:refresh", "POST /agent_backend/user/refresh"],
    "VerifyToken": ["POST /v1/token:verify", "POST /agent_backend/user/verify"],
    "BatchVerifyTokens": ["POST /v1/token:batch-verify", "POST /agent_backend/user/batch-verify"],
    "ListSessions": ["GET /v1/sessions", "GET /agent_backend/user/sessions"],
    "Logout": ["POST /v1/logout", "POST /agent_backend/user/logout"],
    "LogoutAll": ["POST /v1/logout-all", "POST /agent_backend/user/logout-all"],
    "RevokeSession": [
        "DELETE /v1/sessions/{session_id}",
        "DELETE /agent_backend/user/sessions/{session_id}",
    ],
    "ChangePassword": ["POST /v1/password:change", "POST /agent_backend/user/password"],
    "CreateUser": ["POST /v1/admin/users"],
    "GetUser": ["GET /v1/admin/users/{user_id}", "GET /v1/admin/usernames/{username}"],
    "ListUsers": ["GET /v1/admin/users"],
    "SetPassword": ["POST /v1/admin/users/{user_id}:setPassword"],
    "SetUserRoles": ["POST /v1/admin/users/{user_id}:setRoles"],
    "SetUserDisabled": ["POST /v1/admin/users/{user_id}:setDisabled"],
    "DeleteUser": ["DELETE /v1/admin/users/{user_id}"],
    "ListUserSessions": ["GET /v1/admin/users/{user_id}/sessions"],
    "RevokeUserSession": ["DELETE /v1/admin/users/{user_id}/sessions/{session_id}"],
    "RevokeUserSessions": ["DELETE /v1/admin/users/{user_id}/sessions"],
    "CreateSession": ["POST /v1/admin/sessions"],
    "GetStats": ["GET /v1/admin/stats"],
    "CleanUpSessions": ["POST /v1/admin/sessions:cleanUp"],
}


@dataclass(frozen=True, slots=True)
class Path:
    """One path of one RPC, to be called."""

    rest: RestClient
    binding: Binding

    def call(self, *, token: str = "", values: Mapping[str, Any] | None = None, **request: Any) -> Any:
        """Call it as an end user; the answer, which has the shape of the RPC's response."""
        return self._checked(self._send(self.rest.call, values, token=token, **request))

    def operate(self, values: Mapping[str, Any] | None = None, **request: Any) -> Any:
        """The same as an operator."""
        return self._checked(self._send(self.rest.operate, values, **request))

    def _send(
        self, call: Callable[..., httpx.Response], values: Mapping[str, Any] | None, **request: Any
    ) -> httpx.Response:
        if self.binding.verb == "POST":
            request.setdefault("json", {})
        return call(self.binding.verb, path_of(self.binding.template, values or {}), **request)

    def _checked(self, response: httpx.Response) -> dict[str, Any]:
        found = answer(response)
        check_shape(found, self.binding.method.output_type)
        assert {name for name in response.headers if name.startswith("grpc-")} <= {"grpc-status"}
        return found


def check_shape(found: Mapping[str, Any], message: Descriptor) -> None:
    """JSON has the contract's names; what is no message is always there; each value has its field's type."""
    fields = message.fields_by_name
    plain = {name for name, field in fields.items() if field.message_type is None or field.is_repeated}
    assert plain <= set(found) <= set(fields)
    for name, value in found.items():
        for each in value if fields[name].is_repeated else [value]:
            _check_value(each, fields[name])


def _check_value(value: Any, field: FieldDescriptor) -> None:
    if field.message_type is None:
        kinds = {
            FieldDescriptor.CPPTYPE_STRING: str,
            FieldDescriptor.CPPTYPE_BOOL: bool,
            FieldDescriptor.CPPTYPE_ENUM: str,
            FieldDescriptor.CPPTYPE_INT32: int,
            # More than a number of JavaScript holds.
            FieldDescriptor.CPPTYPE_INT64: str,
        }
        assert type(value) is kinds[field.cpp_type], field.full_name
    elif field.message_type.full_name == "google.protobuf.Timestamp":
        assert INSTANT.fullmatch(value), field.full_name
    else:
        check_shape(value, field.message_type)


def log_in(path: Path) -> None:
    """A name and a password give tokens that work."""
    user = path.rest.add_user(roles=["editor"])
    request = {"username": user["username"], "password": PASSWORD, "device": {"name": "a phone"}}
    found = path.call(json=request)
    assert (found["token_type"], found["user"], found["new_device"]) == ("Bearer", user, True)
    assert found["expires_in"] == 1800
    [session] = answer(path.rest.call("GET", "/v1/sessions", token=found["access_token"]))["sessions"]
    assert session["device"]["name"] == "a phone"


def refresh(path: Path) -> None:
    """A refresh token gives the next pair of the same session."""
    before = path.rest.open_session()
    found = path.call(json={"refresh_token": before["refresh_token"]})
    assert found["session_id"] == before["session_id"]
    assert found["refresh_token"] != before["refresh_token"]


def verify(path: Path) -> None:
    """A token is checked where it is in the body, and where it is in the header."""
    session = path.rest.open_session("verified", roles=["editor"])
    for found in (
        path.call(json={"token": session["access_token"]}),
        path.call(token=session["access_token"]),
        path.call(token=session["access_token"], json=None),
    ):
        assert (found["user_id"], found["roles"]) == ("verified", ["editor"])
        assert found["session_id"] == session["session_id"]


def verify_many(path: Path) -> None:
    """Each token is checked by itself; 256 of a thousand bytes fit, larger ones do not."""
    session = path.rest.open_session("verified", roles=["editor"])
    found = path.call(json={"tokens": [session["access_token"], "nonsense", session["access_token"]]})
    verified, failed, again = found["results"]
    assert verified["verified"]["roles"] == ["editor"]
    assert verified == again
    assert (failed["failure"]["code"], failed["failure"]["reason"]) == (16, "ERROR_REASON_TOKEN_INVALID")
    longest = path.call(json={"tokens": ["t" * 1000] * 256})
    assert len(longest["results"]) == 256
    too_long = path.rest.call("POST", path.binding.template, json={"tokens": ["t" * 1100] * 256})
    assert failure(too_long) == (413, 8, "")
    too_many = path.rest.call("POST", path.binding.template, json={"tokens": [""] * 257})
    assert failure(too_many) == (400, 3, "INVALID_ARGUMENT")


def list_sessions(path: Path) -> None:
    """A user's sessions come in pages that the query asks for."""
    sessions = [path.rest.open_session("lister") for _ in range(3)]
    token = sessions[0]["access_token"]
    first = path.call(token=token, params={"page_size": 2})
    second = path.call(token=token, params={"page_size": 2, "page_token": first["next_page_token"]})
    assert (first["total_size"], second["next_page_token"]) == (3, "")
    listed = [*first["sessions"], *second["sessions"]]
    assert {each["session_id"] for each in listed} == {each["session_id"] for each in sessions}
    assert [each["session_id"] for each in listed if each["current"]] == [sessions[0]["session_id"]]
    answer(path.rest.operate("DELETE", "/v1/admin/users/lister/sessions"))


def log_out(path: Path) -> None:
    """The caller's session ends."""
    token = path.rest.open_session()["access_token"]
    assert path.call(token=token) == {}
    assert failure(path.rest.call("POST", "/v1/token:verify", token=token)) == (401, 16, "SESSION_ENDED")


def log_out_everywhere(path: Path) -> None:
    """All sessions of the user end, or all but one."""
    tokens = [path.rest.open_session("leaver")["access_token"] for _ in range(3)]
    assert path.call(token=tokens[0], json={"keep_current": True}) == {"revoked_count": 2}
    assert path.call(token=tokens[0]) == {"revoked_count": 1}


def revoke(path: Path) -> None:
    """Another session of the user ends."""
    mine, other = (path.rest.open_session("revoker") for _ in range(2))
    values = {"session_id": other["session_id"]}
    assert path.call(token=mine["access_token"], values=values) == {}
    assert path.rest.call("POST", "/v1/token:verify", token=other["access_token"]).status_code == 401
    answer(path.rest.call("POST", "/v1/logout-all", token=mine["access_token"]))


def change_password(path: Path) -> None:
    """The user's other sessions end."""
    user = path.rest.add_user()
    tokens = [path.rest.log_in(user["username"])["access_token"] for _ in range(2)]
    request = {"current_password": PASSWORD, "new_password": ANOTHER_PASSWORD}
    assert path.call(token=tokens[0], json=request) == {"revoked_count": 1}


def create_user(path: Path) -> None:
    """The user is there."""
    request = {"user_id": "made", "username": "made", "password": PASSWORD, "roles": ["editor"]}
    assert path.operate(json=request)["user"]["roles"] == ["editor"]


def get_user(path: Path) -> None:
    """A user is found by what stands in the path, whatever characters it has."""
    odd = path.rest.add_user(user_id="auth0|a:b+c@d~e", username="Zoë/%2F?+&:setRoles")
    assert path.operate(odd)["user"] == odd
    answer(path.rest.operate("DELETE", path_of("/v1/admin/users/{user_id}", odd)))


def list_users(path: Path) -> None:
    """Users come in pages."""
    path.rest.add_user()
    path.rest.add_user()
    first = path.operate(params={"page_size": 1})
    second = path.operate(params={"page_size": 1, "page_token": first["next_page_token"]})
    assert first["users"] != second["users"]
    assert first["total_size"] >= 2


def set_password(path: Path) -> None:
    """The new password lets in."""
    user = path.rest.add_user(password=ANOTHER_PASSWORD)
    assert path.operate(user, json={"password": PASSWORD}) == {"revoked_count": 0}
    path.rest.log_in(user["username"])


def set_roles(path: Path) -> None:
    """The user has the roles, and none where none is named."""
    user = path.rest.add_user()
    assert path.operate(user, json={"roles": ["editor"]})["user"] == user | {"roles": ["editor"]}
    assert path.operate(user)["user"] == user


def set_disabled(path: Path) -> None:
    """The user's sessions end."""
    user = path.rest.add_user()
    path.rest.log_in(user["username"])
    found = path.operate(user, json={"disabled": True})
    assert found == {"user": user | {"disabled": True}, "revoked_count": 1}


def delete_user(path: Path) -> None:
    """The user is gone."""
    user = path.rest.add_user()
    assert path.operate(user) == {"revoked_count": 0}
    gone = path.rest.operate("GET", f"/v1/admin/users/{user['user_id']}")
    assert failure(gone) == (404, 5, "USER_NOT_FOUND")


def list_user_sessions(path: Path) -> None:
    """A user's sessions come in pages."""
    sessions = {path.rest.open_session("listed")["session_id"] for _ in range(2)}
    found = path.operate({"user_id": "listed"}, params={"page_size": 5})
    assert {each["session_id"] for each in found["sessions"]} == sessions


def revoke_user_session(path: Path) -> None:
    """One session of a user ends."""
    session = path.rest.open_session("forced")
    assert path.operate({"user_id": "forced", "session_id": session["session_id"]}) == {}
    again = path.rest.operate("DELETE", f"/v1/admin/users/forced/sessions/{session['session_id']}")
    assert failure(again) == (404, 5, "SESSION_NOT_FOUND")


def revoke_user_sessions(path: Path) -> None:
    """All sessions of a user end."""
    path.rest.open_session("forced-out")
    assert path.operate({"user_id": "forced-out"}) == {"revoked_count": 1}


def create_session(path: Path) -> None:
    """A session begins, once for one request id."""
    request = {"user_id": "sso", "username": "sso", "roles": ["editor"], "request_id": "request-1"}
    first, second = path.operate(json=request), path.operate(json=request)
    assert first["session_id"] == second["session_id"]
    assert first["user"]["roles"] == ["editor"]


def get_stats(path: Path) -> None:
    """Totals of 64 bits are texts, as the JSON of protobuf has them."""
    path.rest.open_session()
    assert int(path.operate()["created_sessions"]) >= 1


def clean_up(path: Path) -> None:
    """A sweep says what it did."""
    path.operate()


SCENARIOS: Final[dict[str, Callable[[Path], None]]] = {
    "Login": log_in,
    "RefreshToken": refresh,
    "VerifyToken": verify,
    "BatchVerifyTokens": verify_many,
    "ListSessions": list_sessions,
    "Logout": log_out,
    "LogoutAll": log_out_everywhere,
    "RevokeSession": revoke,
    "ChangePassword": change_password,
    "CreateUser": create_user,
    "GetUser": get_user,
    "ListUsers": list_users,
    "SetPassword": set_password,
    "SetUserRoles": set_roles,
    "SetUserDisabled": set_disabled,
    "DeleteUser": delete_user,
    "ListUserSessions": list_user_sessions,
    "RevokeUserSession": revoke_user_session,
    "RevokeUserSessions": revoke_user_sessions,
    "CreateSession": create_session,
    "GetStats": get_stats,
    "CleanUpSessions": clean_up,
}


@pytest.mark.parametrize("binding", bindings(), ids=str)
def test_every_path_serves_its_rpc(binding: Binding, rest: RestClient) -> None:
    """Whatever the contract binds is served and does what the RPC does; a new RPC needs a scenario."""
    SCENARIOS[binding.method.name](Path(rest, binding))


def test_the_paths_are_those_agreed_on() -> None:
    """Every RPC has its paths, those of the earlier service among them, and no other."""
    found: dict[str, list[str]] = {}
    for binding in bindings():
        found.setdefault(binding.method.name, []).append(str(binding))
    assert found == PATHS


def test_only_pages_are_asked_for_in_a_query() -> None:
    """No GET has a field that would have to be in the query, besides those that `check_query` lets in."""
    pages = {"page_size", "page_token"}
    for binding in bindings():
        if binding.verb == "GET":
            elsewhere = set(re.findall(r"{(\w+)}", binding.template))
            oneofs = {field.name for oneof in binding.method.input_type.oneofs for field in oneof.fields}
            assert {field.name for field in binding.method.input_type.fields} <= elsewhere | oneofs | pages


def test_names_of_either_kind_are_taken(rest: RestClient) -> None:
    """A request may write a field's name in camel case, as other programs' JSON of protobuf does."""
    session = rest.open_session()
    found = answer(rest.call("POST", "/v1/token:refresh", json={"refreshToken": session["refresh_token"]}))
    assert found["session_id"] == session["session_id"]


def test_a_page_of_the_largest_sessions_fits(rest: RestClient) -> None:
    """A hundred come however many are asked for."""
    # A hundred times what a device may be told by; the Envoy engine writes six bytes for each.
    device = {"user_agent": "<" * 1024, "device_id": "<" * 128, "name": "<" * 128, "platform": "<" * 64}
    for _ in range(100):
        token = rest.open_session("collector", device=device)["access_token"]
    response = rest.call("GET", "/v1/sessions", token=token, params={"page_size": 1000})
    assert len(response.content) > 150_000
    assert len(answer(response)["sessions"]) == 100


def test_no_answer_is_kept_by_anybody(rest: RestClient) -> None:
    """Tokens and who somebody is, failures too, are not for caches (RFC 6749 §5.1)."""
    username = rest.add_user()["username"]
    for response in (
        rest.call("POST", "/v1/login", json={"username": username, "password": PASSWORD}),
        rest.call("GET", "/v1/sessions", token=rest.log_in(username)["access_token"]),
        rest.call("GET", "/v1/sessions"),
        rest.call("POST", "/v1/login", content=b"no"),
    ):
        assert response.headers["cache-control"] == "no-store"


def test_it_is_served_by_http2_too(rest: RestClient) -> None:
    """The same answers by HTTP/2, on the same port as gRPC."""
    if not rest.one_port:
        pytest.skip("beside grpc.aio there is HTTP/1 alone")
    session = rest.open_session()
    newer = rest.by_http2()
    with newer.http:
        response = newer.call("POST", "/v1/token:verify", token=session["access_token"])
        assert response.http_version == "HTTP/2"
        assert answer(response)["session_id"] == session["session_id"]
        assert failure(newer.call("GET", "/v1/sessions")) == (401, 16, "TOKEN_MISSING")
