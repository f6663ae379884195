"""What a failed call of gRPC says over REST: the whole ``google.rpc.Status`` as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from json.encoder import encode_basestring
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from session_service.rpc.http.json_writer import JsonWriter
from session_service.rpc.http.status import HTTP_STATUS, hints, http_failure
from session_service.rpc.http.values import HttpResponse
from session_service.rpc.status import DETAILS_KEY, status_of

Trailers = Sequence[tuple[str, str | bytes]]

_JSON: Final = ("content-type", "application/json")
_PREFIX: Final = "type.googleapis.com/"
_KINDS: Final[tuple[Any, ...]] = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
)
_WRITERS: Final = {
    _PREFIX + kind.DESCRIPTOR.full_name: (kind, JsonWriter(kind.DESCRIPTOR)) for kind in _KINDS
}


def failed_call(code: grpc.StatusCode, message: str, trailers: Trailers) -> HttpResponse:
    """The answer of a call that ended with another status than OK.

    Args:
        code: of its status.
        message: of its status.
        trailers: its trailing metadata, of which the details are read.
    """
    details = next((value for key, value in trailers if key == DETAILS_KEY), None)
    if not isinstance(details, bytes):
        return http_failure(HTTP_STATUS[code], code, message, *hints(code, "", None))
    status = status_pb2.Status.FromString(details)
    found = [_unpacked(each) for each in status.details]
    reason = next((each.reason for each in found if isinstance(each, error_details_pb2.ErrorInfo)), "")
    delays = (each.retry_delay for each in found if isinstance(each, error_details_pb2.RetryInfo))
    seconds = next((delay.seconds + delay.nanos / 1e9 for delay in delays), None)
    texts = ",".join(_detail(each) for each in found)
    body = f'{{"code":{status.code},"message":{encode_basestring(message)},"details":[{texts}]}}'
    return HttpResponse(HTTP_STATUS[code], (*hints(code, reason, seconds), _JSON), body.encode())


def failed(error: Exception) -> HttpResponse:
    """The answer of a call that raised this; of anything unforeseen it says a fixed text."""
    status = status_of(error)
    return failed_call(status.code, status.message, status.trailers)


def _unpacked(packed: Any) -> Any:  # noqa: ANN401 - messages of several types
    """A detail; the service has none but those of ``_KINDS``."""
    kind, _ = _WRITERS[packed.type_url]
    return kind.FromString(packed.value)


def _detail(detail: Message) -> str:
    url = _PREFIX + detail.DESCRIPTOR.full_name
    _, writer = _WRITERS[url]
    return "{" + ",".join([f'"@type":"{url}"', *writer.parts(detail)]) + "}"
