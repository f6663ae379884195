"""What a failed call says in HTTP besides, to callers that came by REST."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import grpc
from google.rpc import error_details_pb2, status_pb2

_DETAILS_KEY: Final = "grpc-status-details-bin"


def rest_fields(
    code: grpc.StatusCode | None, trailing: Sequence[tuple[str, str | bytes]]
) -> list[tuple[bytes, bytes]]:
    """``www-authenticate`` where a token is missing or bad, ``retry-after`` where waiting helps.

    Args:
        code: the call's status.
        trailing: its trailing metadata.
    """
    fields = []
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for key, value in trailing:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                detail.Unpack(info)
                if detail.Unpack(retry):
                    seconds = max(1, math.ceil(retry.retry_delay.ToMilliseconds() / 1000))
                    fields.append((b"retry-after", b"%d" % seconds))
    if code is grpc.StatusCode.UNAUTHENTICATED:
        fields.append((b"www-authenticate", b'Bearer error="invalid_token"'))
    return fields
