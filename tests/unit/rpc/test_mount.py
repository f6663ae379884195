"""Which handler of a method an engine finds first."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import grpc
import pytest

from session_service.rpc.batched import CHECK, VERIFY_TOKEN
from session_service.rpc.boundary import MethodHandlers
from session_service.rpc.mount import Servicers, mount
from tests.support.probe import LIMITS


class Engine:
    """Keeps the handlers that it is given."""

    def __init__(self) -> None:
        self.handlers: list[MethodHandlers] = []

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Any) -> None:
        """Keep them, in order."""
        self.handlers += generic_rpc_handlers

    def first(self, method: str) -> grpc.RpcMethodHandler[Any, Any]:
        """The one that is served."""
        return next(each.methods[method] for each in self.handlers if method in each.methods)


class PlainHttp(Engine):
    """Has pages besides."""

    def add_page(self, path: str, handler: object) -> None:
        """None here."""


@pytest.mark.parametrize("method", [VERIFY_TOKEN, CHECK])
def test_a_check_goes_from_bytes_to_bytes_but_for_plain_http(method: str) -> None:
    """An engine without batches serves it so; who makes JSON of the answer has it as a message."""
    nothing: Any = Mock()
    servicers = Servicers(nothing, nothing, nothing, nothing, authorization=nothing, forward_auth=None)
    engine, http = Engine(), PlainHttp()
    mount((engine, http), servicers, nothing, LIMITS, reflection=False)
    assert engine.first(method).request_deserializer is None
    assert engine.first(method).response_serializer is None
    assert http.first(method).request_deserializer is not None
    assert http.first(method).response_serializer is not None
