"""JSON as messages: as ``json_format`` reads it, or stricter in ways that are named; nothing is quoted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from session_api.v1 import admin_service_pb2, session_service_pb2

from session_service.domain.errors import InvalidArgument
from session_service.rpc.http.json_reader import JsonReader
from tests.support.messages import ANY_JSON, bodies, messages

SECRET = "hunter2hunter2"
QUESTIONS: list[Descriptor] = [
    method.input_type
    for file in (session_service_pb2, admin_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
# What `json_format` takes although proto3 JSON does not have it; see `json_scalars`.
STRICTER = (
    "must be a whole number",  # "1_0", " 1", "1e3", digits of other scripts
    "must be one of Colour",  # true, 1.5, "1"
    "must be base64",  # characters that base64 does not have
    "must be a JSON object",  # [] and ""
    "must be a text such as 1.5s",  # ".5s", "1 s", digits of other scripts
    "is there twice",  # a field in both spellings
    "has a value, and so has another",  # the same
)


def read(kind: Any, body: bytes) -> Any:
    """The message that a body makes."""
    message = kind()
    JsonReader(kind.DESCRIPTOR).read(body, message)
    return message


def refusal(kind: Any, body: bytes) -> tuple[str, str]:
    """Which field a body is refused for, and why."""
    with pytest.raises(InvalidArgument) as error:
        read(kind, body)
    [violation] = error.value.violations
    return violation.field, violation.description


def check_alike(kind: Any, body: bytes) -> None:
    """Both read the same of a body, or both refuse it, or only this one does, for a reason that is named."""
    try:
        expected = json_format.Parse(body, kind())
    except (json_format.ParseError, UnicodeError):
        refusal(kind, body)
        return
    try:
        found = read(kind, body)
    except InvalidArgument as error:
        if not any(reason in str(error) for reason in STRICTER):
            raise
        return
    assert found == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_is_printed_is_read(kinds: Any, data: st.DataObject) -> None:
    """Every message comes back, by the names of either spelling."""
    message = data.draw(messages(kinds.DESCRIPTOR))
    for own_names in (True, False):
        text = json_format.MessageToJson(message, preserving_proto_field_name=own_names)
        assert read(kinds, text.encode()) == message


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_bodies_good_and_bad_are_read_alike(kinds: Any, data: st.DataObject) -> None:
    """Whatever value stands under whatever name."""
    check_alike(kinds, json.dumps(data.draw(bodies(kinds.DESCRIPTOR))).encode())


@pytest.mark.parametrize("kind", QUESTIONS, ids=lambda kind: kind.name)
def test_bodies_of_every_method_are_read_alike(kind: Descriptor) -> None:
    """Each message that a method takes."""

    @settings(max_examples=20, deadline=None)
    @given(bodies(kind) if kind.fields else st.dictionaries(st.text(max_size=3), ANY_JSON, max_size=1))
    def check(body: dict[str, Any]) -> None:
        check_alike(GetMessageClass(kind), json.dumps(body).encode())

    check()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="surrogatepass")))
def test_any_bytes_are_read_or_refused(kinds: Any, body: bytes) -> None:
    """Never another error than the one that names a field."""
    if body:
        check_alike(kinds, body)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"1",
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b"{\x00}",
        b'{"text":"\xff"}',
        b'{"text":"a\nb"}',
        b'{"text":"a","text":"a"}',
        b'{"inner":{"inner_text":"a","inner_text":"a"}}',
        b'{"small":NaN}',
        b'{"small":-Infinity}',
        b'{"small":' + b"9" * 5000 + b"}",
        b'{"unknown":1}',
        b'{"unknown":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        "{}".encode("utf-16"),
        b"{'text': 'a'}",
        b"{text: 1}",
        b'{"text": "a",}',
    ],
)
def test_what_is_no_object_of_json(kinds: Any, body: bytes) -> None:
    """It is the body that is named."""
    assert refusal(kinds, body)[0] == "body"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"text": 1}, "text"),
        ({"text": "\ud800"}, "text"),
        ({"flag": "true"}, "flag"),
        ({"small": True}, "small"),
        ({"small": 1.5}, "small"),
        ({"small": 1 << 31}, "small"),
        ({"natural": -1}, "natural"),
        ({"largeNumber": "9223372036854775808"}, "large_number"),
        ({"colour": "PINK"}, "colour"),
        ({"raw": "*"}, "raw"),
        ({"at": "yesterday"}, "at"),
        ({"at": 5}, "at"),
        ({"lasts": "1"}, "lasts"),
        ({"inner": []}, "inner"),
        ({"inner": {"innerText": 1}}, "inner.inner_text"),
        ({"inner": {"numbers": [1, "x"]}}, "inner.numbers[1]"),
        ({"inner": {SECRET: 1}}, "inner"),
        ({"many_inner": [{}, {"numbers": {}}]}, "many_inner[1].numbers"),
        ({"many_inner": [None]}, "many_inner[0]"),
        ({"many_text": ["a", None]}, "many_text[1]"),
        ({"many_text": "a"}, "many_text"),
        ({"by_text": {"a": SECRET}}, "by_text"),
        ({"by_text": []}, "by_text"),
        ({"by_number": {"x": {}}}, "by_number"),
        ({"by_number": {"1": {"numbers": 1}}}, "by_number.numbers"),
        ({"by_flag": {"yes": ""}}, "by_flag"),
        ({"chosen_text": "a", "chosen_inner": {}}, "chosen_inner"),
        ({"text": "a", "largeNumber": 1, "large_number": 1}, "large_number"),
    ],
)
def test_the_field_is_named_by_its_own_name(kinds: Any, value: Any, field: str) -> None:
    """Through messages and lists."""
    found, description = refusal(kinds, json.dumps(value).encode())
    assert found == field
    assert description


def test_nothing_of_a_body_is_quoted(kinds: Any) -> None:
    """Neither values nor names that the contract does not have."""
    for value in (SECRET, [SECRET], {SECRET: SECRET}, {"innerText": {SECRET: 1}}):
        for field in kinds.DESCRIPTOR.fields:
            message = kinds()
            body = json.dumps({field.json_name: value, SECRET: SECRET}).encode()
            with pytest.raises(InvalidArgument) as error:
                JsonReader(kinds.DESCRIPTOR).read(body, message)
            assert SECRET not in str(error.value)


def test_null_is_absent(kinds: Any) -> None:
    """For every field, of a oneof too, whose other may then be set."""
    body = {field.name: None for field in kinds.DESCRIPTOR.fields}
    assert read(kinds, json.dumps(body).encode()) == kinds()
    assert read(kinds, b'{"chosen_inner":null,"chosen_text":"a"}') == kinds(chosen_text="a")
    assert read(kinds, b"") == kinds()


def test_what_the_path_sets_is_refused_in_a_body(kinds: Any) -> None:
    """By either spelling, whatever its value; and nowhere else than at the top."""
    reader = JsonReader(kinds.DESCRIPTOR)
    for name in ("large_number", "largeNumber"):
        for value in (1, None):
            with pytest.raises(InvalidArgument, match="large_number: is in the path"):
                reader.read(json.dumps({name: value}).encode(), kinds(), fixed=("large_number",))
    reader.read(b'{"inner":{"inner_text":"a"}}', kinds(), fixed=("inner_text",))
