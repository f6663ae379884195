"""Rich error details, written with the official messages and read without them."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as official
from google.rpc import status_pb2
from session_client import FieldViolation
from session_client._rich_status import DETAILS_KEY, ErrorDetails, details_trailer, error_details

from tests.support.house_rules import ROOT

NOTHING = ErrorDetails()
INFO = official.ErrorInfo(reason="SESSION_ENDED", domain="session.v1", metadata={"a": "1", "b": "2"})

# Reads details where the official messages are loaded first, and loads them where they come second.
BOTH_ORDERS = """
import sys
if sys.argv[1] == "after":
    import session_client._rich_status
from google.rpc import error_details_pb2, status_pb2
from google.protobuf.any_pb2 import Any
from session_client._rich_status import error_details
packed = Any()
packed.Pack(error_details_pb2.ErrorInfo(reason="X", domain="session.v1"))
status = status_pb2.Status(details=[packed]).SerializeToString()
assert error_details([("grpc-status-details-bin", status)]).reason == "X"
"""


def _trailers(*messages: Message) -> list[tuple[str, str | bytes]]:
    status = status_pb2.Status(code=16, message="no")
    for message in messages:
        packed = AnyMessage()
        packed.Pack(message)
        status.details.append(packed)
    return [("other", "x"), (DETAILS_KEY, status.SerializeToString())]


def test_all_details() -> None:
    """Reason, facts, waiting time and wrong fields are read from one status."""
    violation = official.BadRequest.FieldViolation(field="device.name", description="too long")
    details = error_details(
        _trailers(
            INFO,
            official.RetryInfo(retry_delay=Duration(seconds=3, nanos=250_000_000)),
            official.BadRequest(field_violations=[violation]),
        )
    )

    assert details == ErrorDetails(
        reason="SESSION_ENDED",
        metadata={"a": "1", "b": "2"},
        retry_after=timedelta(seconds=3.25),
        violations=(FieldViolation("device.name", "too long"),),
    )


def test_what_is_written_is_google_rpc() -> None:
    """The official messages read the same out of a trailer as was put into it."""
    key, value = details_trailer(14, "later", "STORE_UNAVAILABLE", {"a": "1"}, timedelta(seconds=3.25))
    status = status_pb2.Status.FromString(value)
    info, retry = official.ErrorInfo(), official.RetryInfo()

    assert (key, status.code, status.message) == (DETAILS_KEY, 14, "later")
    assert [status.details[0].Unpack(info), status.details[1].Unpack(retry)] == [True, True]
    assert info == official.ErrorInfo(reason="STORE_UNAVAILABLE", domain="session.v1", metadata={"a": "1"})
    assert retry.retry_delay == Duration(seconds=3, nanos=250_000_000)


def test_no_time_is_written_where_waiting_does_not_help() -> None:
    """And the client reads back what it wrote."""
    trailer = details_trailer(16, "no", "SESSION_ENDED", {}, None)

    assert len(status_pb2.Status.FromString(trailer[1]).details) == 1
    assert error_details([trailer]) == ErrorDetails("SESSION_ENDED")


def test_details_of_other_kinds_are_passed_over() -> None:
    """Kinds of details that the client has no use for do not disturb the others."""
    assert error_details(_trailers(official.Help(), INFO, official.DebugInfo())).reason == "SESSION_ENDED"


def test_the_reason_of_another_domain_is_not_ours() -> None:
    """A proxy's reason of the same name does not mean what the service's does."""
    assert error_details(_trailers(official.ErrorInfo(reason="SESSION_ENDED", domain="mesh"))) == NOTHING


def test_no_details() -> None:
    """A status without details says nothing."""
    assert error_details([]) == NOTHING
    assert error_details([("other", b"x")]) == NOTHING
    assert error_details(_trailers()) == NOTHING


def test_details_that_cannot_be_read() -> None:
    """Broken bytes, a text in place of bytes and a span beyond all measure say nothing."""
    assert error_details([(DETAILS_KEY, b"\xff\xff\xff")]) == NOTHING
    assert error_details([(DETAILS_KEY, "text")]) == NOTHING
    endless = official.RetryInfo(retry_delay=Duration(seconds=2**62))
    assert error_details(_trailers(endless)) == NOTHING
    broken = status_pb2.Status(
        details=[AnyMessage(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")]
    )
    assert error_details([(DETAILS_KEY, broken.SerializeToString())]) == NOTHING


def test_the_official_messages_may_be_loaded_too() -> None:
    """googleapis-common-protos in the same process, before or after, does not clash with the client."""
    for order in ("before", "after"):
        command = [sys.executable, "-W", "error", "-c", BOTH_ORDERS, order]
        subprocess.run(command, check=True, cwd=ROOT / "client")
