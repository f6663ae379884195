"""Every key of the configuration, told for the manual and for suggestions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from session_service.config.fields import HostPort, Section
from session_service.config.sections import Config

_NAMES: dict[Any, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
    HostPort: "host:port",
    SecretStr: "secret",
    IPv4Network: "network",
    IPv6Network: "network",
}


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One key, as the manual shows it.

    Args:
        key: dotted, such as ``redis.tls.ca_file``; ``[]`` marks the entries of a list.
        kind: what its value is, in a word.
        default: as written in YAML; empty where the key must be given within its section.
        description: what it does, with its unit.
        sensitive: its value is never shown.
    """

    key: str
    kind: str
    default: str
    description: str
    sensitive: bool


def config_reference() -> Iterator[ConfigKey]:
    """Every key, in the order of the sections."""
    return _walk(Config, "")


def _walk(section: type[Section], prefix: str) -> Iterator[ConfigKey]:
    for name, field in section.model_fields.items():
        nested = _nested(field.annotation)
        if nested is None:
            yield _key(prefix + name, field)
        else:
            entries = "[]" if get_origin(field.annotation) is tuple else ""
            yield from _walk(nested, f"{prefix}{name}{entries}.")


def _nested(annotation: Any) -> type[Section] | None:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := _nested(part))), None)


def _key(key: str, field: FieldInfo) -> ConfigKey:
    kind = _kind(field.annotation)
    return ConfigKey(key, kind, _default(field), field.description or "", sensitive=kind == "secret")


def _kind(annotation: Any) -> str:  # noqa: ANN401 - any annotation
    if get_origin(annotation) is Literal:
        return " or ".join(get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(member.value for member in annotation)
    if get_origin(annotation) is tuple:
        return f"list of {_kind(get_args(annotation)[0])}"
    parts = [part for part in get_args(annotation) if part is not NoneType]
    return _NAMES[annotation] if annotation in _NAMES else _kind(parts[0])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    match field.default:
        case Enum(value=value):
            return str(value)
        case str() | Path():
            return str(field.default)
        case float():
            return f"{field.default:g}"
        case other:
            return json.dumps(other)
