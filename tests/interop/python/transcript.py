"""Prints the transcript: one JSON object per case."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def report(name: str, error: grpc.RpcError | None = None, **answer: object) -> None:
    """Print how a call ended, and either what its answer said or what its error did."""
    line: dict[str, object] = {"case": name, "code": code_of(error)}
    if error is not None:
        line |= _details(error)
    print(json.dumps(line | answer), flush=True)  # noqa: T201 - what this program is for


def attempt(name: str, call: Callable[..., Any], *arguments: object, **options: object) -> None:
    """Make a call of whose answer there is nothing to say, and report it."""
    report(name, error_of(call, *arguments, **options))


def error_of(call: Callable[..., Any], *arguments: object, **options: object) -> grpc.RpcError | None:
    """Make a call and give its error, or None."""
    try:
        call(*arguments, **options)
    except grpc.RpcError as error:
        return error
    return None


def code_of(error: Any) -> str:
    """A status code by the name that all languages share."""
    return "OK" if error is None else str(error.code().name)


def _details(error: Any) -> dict[str, object]:
    """The rich details; an error without them has a text of the library's own, left out."""
    facts: dict[str, object] = {}
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        facts |= _facts(error.details(), detail)
    return facts


def _facts(message: str, detail: any_pb2.Any) -> dict[str, object]:
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    bad = error_details_pb2.BadRequest()
    if detail.Unpack(info):
        metadata = dict(info.metadata)
        return {"message": message, "reason": info.reason, "domain": info.domain, "metadata": metadata}
    if detail.Unpack(retry):
        return {"retry_seconds": _retry_seconds(retry.retry_delay)}
    if detail.Unpack(bad):
        return {"violations": [[each.field, each.description] for each in bad.field_violations]}
    return {}


def _retry_seconds(duration: duration_pb2.Duration) -> float:
    """Rounds what is over a minute up to full ones: it shrinks while the program runs."""
    delay = duration.ToTimedelta().total_seconds()
    return delay if delay <= 60 else math.ceil(delay / 60) * 60
