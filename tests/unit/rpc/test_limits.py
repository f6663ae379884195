"""What may be larger than the rest, and by how much."""

from __future__ import annotations

from dataclasses import replace

from session_api.v1 import session_service_pb2 as pb

from session_service.rpc.check_messages import MAX_TOKENS
from session_service.rpc.limits import LARGER_REQUESTS
from tests.support.probe import LIMITS
from tests.support.rest import bindings

# 256 of these and their framing are 256 KiB. An RS256 token has 840 to 1050 characters: the longest, with a
# user id of 128 characters or a key of 4096 bits, go by fewer in a call.
LONG_TOKEN = 1_021


def test_only_a_batch_of_tokens_may_be_larger() -> None:
    """It, on every path that it has."""
    paths = {each.template for each in bindings() if each.method.name == "BatchVerifyTokens"}
    assert {"/session.v1.SessionService/BatchVerifyTokens", *paths} == LARGER_REQUESTS


def test_it_may_be_four_times_as_large() -> None:
    """That is 256 tokens of 1,021 bytes, and everything else has the limit that is configured."""
    for path in LARGER_REQUESTS:
        assert LIMITS.message_bytes(path) == LIMITS.largest_message_bytes == 4 * LIMITS.max_message_bytes
    assert LIMITS.message_bytes("/session.v1.SessionService/WatchTokens") == LIMITS.max_message_bytes
    batch = pb.BatchVerifyTokensRequest(tokens=["t" * LONG_TOKEN] * MAX_TOKENS)
    assert batch.ByteSize() == LIMITS.largest_message_bytes


def test_it_is_never_more_than_grpc_can_count() -> None:
    """The largest size that can be configured is the largest of all."""
    most = 2**31 - 1
    assert replace(LIMITS, max_message_bytes=most).largest_message_bytes == most
