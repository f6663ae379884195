"""Messages as JSON: what ``json_format`` prints, for every type of the contract and every kind of field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, json_format
from google.protobuf.descriptor import Descriptor
from google.rpc import error_details_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from session_api.v1 import admin_service_pb2, session_service_pb2

from session_service.rpc.http.json_writer import JsonWriter
from tests.support.messages import messages

ANSWERS: list[Descriptor] = [
    method.output_type
    for file in (session_service_pb2, admin_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
DETAILS: list[Descriptor] = [
    error_details_pb2.ErrorInfo.DESCRIPTOR,
    error_details_pb2.BadRequest.DESCRIPTOR,
    error_details_pb2.RetryInfo.DESCRIPTOR,
]


def printed(message: Any) -> Any:
    """What protobuf's own printer says."""
    return json.loads(
        json_format.MessageToJson(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_every_kind_of_field_is_printed_alike(kinds: Any, data: st.DataObject) -> None:
    """Names, digits of instants, numbers of 64 bits as text, bytes, maps, what is absent."""
    message = data.draw(messages(kinds.DESCRIPTOR))
    assert json.loads(JsonWriter(kinds.DESCRIPTOR).write(message)) == printed(message)


@pytest.mark.parametrize("kind", [*ANSWERS, *DETAILS], ids=lambda kind: kind.name)
def test_every_answer_is_printed_alike(kind: Descriptor) -> None:
    """Each message that a method answers with, and the details of failures."""
    writer = JsonWriter(kind)

    @settings(max_examples=12, deadline=None)
    @given(messages(kind))
    def check(message: Any) -> None:
        assert json.loads(writer.write(message)) == printed(message)

    check()


def test_text_stays_as_it_is(kinds: Any) -> None:
    """UTF-8 is not escaped, and what JSON must escape is."""
    written = JsonWriter(kinds.DESCRIPTOR).write(kinds(text='Żaneta "\\\n\x00</script>\u2028'))
    assert '"text":"Żaneta \\"\\\\\\n\\u0000</script>\u2028"' in written


BEYOND = 1 << 40


@pytest.mark.parametrize(
    "instant", [{"seconds": BEYOND}, {"seconds": -BEYOND}, {"nanos": -1}, {"nanos": 1 << 30}]
)
def test_an_instant_that_is_none_is_not_printed(kinds: Any, instant: dict[str, int]) -> None:
    """As ``json_format`` does, an error of ours."""
    message = kinds()
    for name, value in instant.items():
        setattr(message.at, name, value)
    with pytest.raises(ValueError, match="timestamp"):
        JsonWriter(kinds.DESCRIPTOR).write(message)


def test_a_type_that_the_contract_does_not_have_is_noticed_at_start() -> None:
    """A new kind of field fails when it is compiled, not when it is first sent."""
    with pytest.raises(NotImplementedError, match=r"UninterpretedOption\.double_value"):
        JsonWriter(descriptor_pb2.UninterpretedOption.DESCRIPTOR)
