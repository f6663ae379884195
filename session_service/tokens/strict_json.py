"""JSON objects read strictly: what two readers could understand differently is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NoReturn


def read_object(text: bytes) -> dict[str, Any]:
    """The one object in this UTF-8 text, without repeated members or ``NaN`` (RFC 8725 §2.4, RFC 7519 §4).

    Raises:
        ValueError: anything else; the message gives a place, never the content.
    """
    try:
        value = json.loads(_decoded(text), object_pairs_hook=_unrepeated, parse_constant=_refused)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  # the text is wrong, not the argument
    return value


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None


def _unrepeated(members: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    unique: dict[str, Any] = {}
    for name, value in members:
        if name in unique:
            raise ValueError("an object repeats a member")
        unique[name] = value
    return unique


def _refused(_: str) -> NoReturn:
    raise ValueError("not a JSON number")
