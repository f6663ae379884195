"""Messages and JSON of a message's type, as hypothesis draws them."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

_KIND: Final = FieldDescriptor
_RANGES: Final = {
    _KIND.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    _KIND.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    _KIND.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    _KIND.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}
# What protobuf's own JSON can print: the years 1 to 9999, and some ten thousand of them.
_SECONDS: Final = {
    "google.protobuf.Timestamp": st.integers(-62_135_596_800, 253_402_300_799),
    "google.protobuf.Duration": st.integers(0, 315_576_000_000),
}
_NANOS: Final = st.sampled_from([0, 1, 500_000_000, 1_000, 120_000]) | st.integers(0, 999_999_999)
_TEXTS: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)

_INNER_NAMES: Final = st.sampled_from(["inner_text", "innerText", "numbers", "1", "true"])
_INSTANTS: Final = ["1s", "1.000000001s", "-3s", "2025-01-31T12:00:00.5+01:00", "0001-01-01T00:00:00Z"]

# Anything that a body may hold, good or bad.
ANY_JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["1", "-1", "1.5s", "x", "true", "RED", "2025-01-31T12:00:00Z", "aGk=", "\ud800", ""])
    | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)


def messages(kind: Descriptor) -> st.SearchStrategy[Any]:
    """Messages of a type, fields set or not."""

    def build(values: dict[str, Any]) -> Any:
        return GetMessageClass(kind)(**values)

    if kind.full_name in _SECONDS:
        values = st.fixed_dictionaries({}, optional={"seconds": _SECONDS[kind.full_name], "nanos": _NANOS})
    else:
        values = st.fixed_dictionaries({}, optional={each.name: _values(each) for each in kind.fields})
    return values.map(build)


def bodies(kind: Descriptor) -> st.SearchStrategy[dict[str, Any]]:
    """Objects whose names are mostly a type's own, in either spelling, and whose values are often wrong."""
    entries = [
        st.tuples(st.sampled_from([each.name, each.json_name]), _json_values(each) | ANY_JSON)
        for each in kind.fields
    ]
    entry = st.one_of(*entries, st.tuples(st.just("unknown"), ANY_JSON))
    return st.lists(entry, max_size=4).map(dict)


def _json_values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    one: st.SearchStrategy[Any]
    if field.message_type is not None:
        one = st.dictionaries(_INNER_NAMES, ANY_JSON, max_size=2) | st.sampled_from(_INSTANTS)
    elif field.cpp_type in _RANGES:
        low, high = _RANGES[field.cpp_type]
        number = st.integers(low - 1, high + 1)
        one = number | number.map(str) | st.integers(-10, 10).map(float)
    else:
        one = _TEXTS | st.booleans() | st.sampled_from(["aGk", "_-8=", "RED", 1, 7])
    return st.lists(one, max_size=3) if field.is_repeated else one


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        keys, values = (_single(kind.fields_by_name[each]) for each in ("key", "value"))
        return st.dictionaries(keys, values, max_size=3)
    return st.lists(_single(field), max_size=3) if field.is_repeated else _single(field)


def _single(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages(field.message_type)
    if field.enum_type is not None:
        return st.sampled_from([*field.enum_type.values_by_number, 77, -5])
    if field.cpp_type in _RANGES:
        return st.integers(*_RANGES[field.cpp_type])
    if field.cpp_type == _KIND.CPPTYPE_BOOL:
        return st.booleans()
    return st.binary(max_size=20) if field.type == _KIND.TYPE_BYTES else _TEXTS
