"""The configuration for people: as YAML, without secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from session_service.config.documents import ConfigError
from session_service.config.fields import HostPort
from session_service.config.sections import Config, ServiceKeySection


def as_document(config: Config) -> dict[str, Any]:
    """The configuration as plain values; a secret that is set is ten stars."""
    document: dict[str, Any] = _plain(config)
    return document


def as_yaml(document: Mapping[str, Any]) -> str:
    """A document as the configuration file has it."""
    return yaml.safe_dump(dict(document), sort_keys=False)


def service_key_document(name: str, digest: str, roles: Sequence[str]) -> dict[str, Any]:
    """The configuration that lets a service key in.

    Raises:
        ConfigError: the name or a role cannot be used.
    """
    try:
        ServiceKeySection(name=name, digest=digest, roles=tuple(roles))
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        raise ConfigError(*(f"{each['loc'][0]}: {each['msg']}" for each in problems)) from None
    return {"admin": {"service_keys": [{"name": name, "digest": digest, "roles": list(roles)}]}}


def named_files(config: Config) -> dict[str, Path]:
    """The files that are to be read, by key; the key ring's is none of them."""
    sections: dict[str, BaseModel | None] = {
        "passwords": config.passwords,
        "server.tls": config.server.tls,
        "redis.tls": config.redis.tls,
    }
    return {
        f"{name}.{key}": value
        for name, section in sections.items()
        if section is not None
        for key, value in section
        if isinstance(value, Path)
    }


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of a configuration
    match value:
        case None | bool() | int() | float():
            return value
        case HostPort():
            return str(value)
        case BaseModel():
            return {name: _plain(each) for name, each in value}
        case tuple():
            return [_plain(each) for each in value]
        case _:
            return str(value)
