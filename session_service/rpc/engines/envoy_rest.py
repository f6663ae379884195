"""What a failed call says in HTTP, to callers that came by REST."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl

import grpc
from google.rpc import error_details_pb2, status_pb2

from session_service.rpc.http.status import hints
from session_service.rpc.refusals import MalformedError

_DETAILS_KEY: Final = "grpc-status-details-bin"

_IN_QUERY: Final = frozenset({"page_size", "page_token", "pageSize", "pageToken"})


def check_query(method: str, path: str) -> None:
    """See that a query says no more than which page is asked for.

    The transcoder lets a query set any field: one that the path sets, so that another user is deleted than
    the one that a gateway saw in the path; or a password, which then is in the logs of all that lies between.

    Args:
        method: of HTTP.
        path: with the query.

    Raises:
        MalformedError: it says more.
    """
    query = path.partition("?")[2]
    names = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    if names and (method != "GET" or not names <= _IN_QUERY):
        text = "may hold page_size and page_token, of GET; the rest belongs into the path or the body"
        raise MalformedError("query", text)


def rest_fields(
    code: grpc.StatusCode | None, trailing: Sequence[tuple[str, str | bytes]]
) -> list[tuple[bytes, bytes]]:
    """The header fields of a call that Envoy's transcoder answers.

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
