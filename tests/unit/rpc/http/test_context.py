"""A call by REST as servicers see it: a part of ``grpc.aio.ServicerContext``, under the same names."""

from __future__ import annotations

import ast
import inspect

import grpc
import pytest

from session_service.rpc.http.context import RestContext
from session_service.rpc.http.values import HttpRequest
from tests.support.house_rules import ROOT

REQUEST = HttpRequest("POST", "/v1/login", "", [("x-bin", "***")])


def public(kind: type) -> set[str]:
    """The names that a class offers."""
    return {name for name in dir(kind) if not name.startswith("_")}


def test_it_has_nothing_else() -> None:
    """Whatever it has, grpc's has, and takes the same arguments."""
    theirs = grpc.aio.ServicerContext
    assert public(RestContext) <= public(theirs)
    for name in public(RestContext):
        ours = set(inspect.signature(getattr(RestContext, name)).parameters)
        assert ours == set(inspect.signature(getattr(theirs, name)).parameters), name


def test_it_has_all_that_methods_use() -> None:
    """But for ``write``, of streams, which REST does not have."""
    used = set()
    for path in (ROOT / "session_service" / "rpc").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
                owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
                if owner.strip("_") == "context":
                    used.add(node.attr)
    assert used - {"write"} <= public(RestContext)
    assert "invocation_metadata" in used


async def test_what_is_set_is_kept() -> None:
    """Code, message and metadata."""
    context = RestContext(REQUEST, 0.0)
    assert (context.code(), context.details(), context.trailing_metadata()) == (None, "", ())
    context.set_code(grpc.StatusCode.ABORTED)
    context.set_details("again")
    context.set_trailing_metadata((("a", "b"),))
    with pytest.raises(grpc.aio.AbortError):
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone")
    assert (context.code(), context.details()) == (grpc.StatusCode.NOT_FOUND, "gone")
    assert context.trailing_metadata() == (("a", "b"),)
    assert context.time_remaining() == 0
