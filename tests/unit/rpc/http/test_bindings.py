"""The bindings of the contract, and those that REST could not serve."""

from __future__ import annotations

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from session_service.rpc.http.app import REST_SERVICES
from session_service.rpc.http.bindings import Binding, bindings, descriptor_set


def test_those_of_the_contract() -> None:
    """In its order, additional ones included; a stream has none."""
    found = list(bindings(descriptor_set(), REST_SERVICES))
    roles = "/session.v1.AdminService/SetUserRoles"
    assert Binding(roles, "POST", "/v1/admin/users/{user_id}:setRoles", has_body=True) in found
    assert (
        Binding("/session.v1.SessionService/Login", "POST", "/agent_backend/user/login", has_body=True)
        in found
    )
    assert not [each for each in found if "WatchTokens" in each.method]


@pytest.mark.parametrize(
    ("verb", "template", "body"),
    [("get", "/v1/{name=a/*}", ""), ("get", "/v1/**", ""), ("post", "/v1/a", "field"), ("get", "v1", "")],
)
def test_those_that_are_not_known(verb: str, template: str, body: str) -> None:
    """The start fails and says which."""
    files = FileDescriptorSet()
    method = files.file.add(package="p").service.add(name="S").method.add(name="M")
    rule = method.options.Extensions[annotations_pb2.http]
    setattr(rule, verb, template)
    rule.body = body
    with pytest.raises(NotImplementedError, match=r"/p\.S/M"):
        list(bindings(files, ["p.S"]))
