"""The JSON of REST beside protobuf's own: microseconds for a request read and an answer written."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from google.protobuf import json_format
from session_api.v1 import session_service_pb2 as pb

from session_service.domain.models import Identity
from session_service.rpc.conversions import verified_message
from session_service.rpc.http.json_reader import JsonReader
from session_service.rpc.http.json_writer import JsonWriter

_ROUNDS: Final = 5
_CALLS: Final = 4_000
_BODY: Final = b'{"token":"' + b"abc." * 75 + b'","max_staleness":"1s"}'
_IDENTITY: Final = Identity(
    "u-1", "s" * 22, "ada", ("editor", "reader"), 1_800_000_000, 1_800_000_000_123, 1_800_000_000_123
)


def json_figures() -> dict[str, float]:
    """How many times as long ``json_format`` takes, for reading and for writing; rounds alternate."""
    reader = JsonReader(pb.VerifyTokenRequest.DESCRIPTOR)
    writer = JsonWriter(pb.VerifyTokenResponse.DESCRIPTOR)
    message = verified_message(_IDENTITY)
    ways: dict[str, Callable[[], object]] = {
        "read": lambda: reader.read(_BODY, pb.VerifyTokenRequest()),
        "read by json_format": lambda: json_format.Parse(_BODY, pb.VerifyTokenRequest()),
        "write": lambda: writer.write(message),
        "write by json_format": lambda: json_format.MessageToJson(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        ),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(_ROUNDS):
        for name, way in ways.items():
            best[name] = min(best[name], _seconds(way))
    return {name: best[f"{name} by json_format"] / best[name] for name in ("read", "write")}


def _seconds(way: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(_CALLS):
        way()
    return time.perf_counter() - began


if __name__ == "__main__":
    for name, ratio in json_figures().items():
        print(f"json_{name}_over_protobuf {ratio:.1f}")  # noqa: T201 - what it is for
