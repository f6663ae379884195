"""What a failed call says in HTTP besides, to callers that came by REST."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc
from google.rpc import error_details_pb2, status_pb2

from session_service.rpc.http_status import hints

_DETAILS_KEY: Final = "grpc-status-details-bin"


def rest_fields(
    code: grpc.StatusCode | None, trailing: Sequence[tuple[str, str | bytes]]
) -> list[tuple[bytes, bytes]]:
    """``www-authenticate`` where a token is missing, bad or not enough, ``retry-after`` where waiting helps.

    Args:
        code: the call's status.
        trailing: its trailing metadata.
    """
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    retry_after = None
    for key, value in trailing:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                detail.Unpack(info)
                if detail.Unpack(retry):
                    retry_after = retry.retry_delay.ToMilliseconds() / 1000
    return [(name.encode(), value.encode()) for name, value in hints(code, info.reason, retry_after)]
