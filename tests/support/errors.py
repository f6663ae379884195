"""What a failed call said, read from its rich details."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass(slots=True)
class Failure:
    """A failed call: filled in when the block ends."""

    code: grpc.StatusCode | None = None
    message: str = ""
    reason: str = ""
    domain: str = ""
    retry_seconds: float | None = None
    fields: dict[str, str] = field(default_factory=dict)

    def read(self, error: Any) -> None:  # both of grpc's and grpc.aio's
        """Take the facts from the error that a stub raised."""
        self.code = error.code()
        self.message = error.details() or ""
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            self._read_detail(detail)

    def _read_detail(self, detail: any_pb2.Any) -> None:
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(info):
            self.reason, self.domain = info.reason, info.domain
        elif detail.Unpack(retry):
            self.retry_seconds = retry.retry_delay.ToMilliseconds() / 1000
        elif detail.Unpack(bad):
            self.fields = {one.field: one.description for one in bad.field_violations}


@contextlib.contextmanager
def fails(code: grpc.StatusCode, reason: str) -> Iterator[Failure]:
    """Expect the block's call to fail with this code and reason."""
    failure = Failure()
    with pytest.raises(grpc.RpcError) as raised:
        yield failure
    failure.read(raised.value)
    assert (failure.code, failure.reason) == (code, reason), failure
