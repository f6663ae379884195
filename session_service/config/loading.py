"""From file and environment to a configuration that may be used, or to the list of its faults."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from session_service.config.checks import conflicts
from session_service.config.documents import ConfigError, overlay, read_environment, read_yaml, variable
from session_service.config.reference import config_reference
from session_service.config.sections import Config


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the configuration.

    Args:
        path: the YAML file; ``None`` = the one that ``SESSION_CONFIG`` names, if any.
        environ: ``SESSION_<SECTION>__<KEY>`` overrides the file's ``<section>: {<key>: ...}``.

    Raises:
        ConfigError: naming every wrong or unknown key; nothing of a value.
    """
    named = path or (Path(environ["SESSION_CONFIG"]) if environ.get("SESSION_CONFIG") else None)
    document = read_yaml(named) if named else {}
    overrides = read_environment(environ)
    config = _validate(overlay(document, overrides), overrides)
    if problems := tuple(conflicts(config)):
        raise ConfigError(*problems)
    return config


def _validate(raw: Mapping[str, object], overrides: Iterable[str]) -> Config:
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        problems = [_problem(each, overrides) for each in error.errors()]
        # Not chained: the cause holds what was typed.
        raise ConfigError(*problems) from None


def _problem(error: ErrorDetails, overrides: Iterable[str]) -> str:
    key = _dotted(error["loc"])
    origin = "".join(f" ({variable(each)})" for each in overrides if f"{each}.".startswith(f"{key}."))
    if error["type"] == "extra_forbidden":
        return f"{key}{origin}: unknown key{_suggestion(key)}"
    return f"{key}{origin}: {error['msg'].removeprefix('Value error, ')}"


def _dotted(location: tuple[int | str, ...]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def _suggestion(key: str) -> str:
    known = {each.key for each in config_reference()}
    known |= {each.rpartition(".")[0] for each in known}
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
