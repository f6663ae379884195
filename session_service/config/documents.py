"""Raw configuration: what the YAML file and the environment say, not yet checked."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

_PREFIX = "SESSION_"
_NESTING = "__"


class ConfigError(Exception):
    """The configuration cannot be used; ``str()`` names every wrong key and no value.

    Args:
        problems: one line each.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _GivenTwice(yaml.MarkedYAMLError):
    """One mapping has the same key twice."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key given twice, where YAML loaders keep the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for position, name in enumerate(names):
            if name in names[:position]:
                raise _GivenTwice(problem=f"{name} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """The file's mapping.

    Raises:
        ConfigError: it cannot be read, or is no YAML mapping. Lines of it are not quoted: they
            may hold a password.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}{_place(error)}: {_cause(error)}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: must be a mapping of sections")
    return document


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}" if mark else ""


def _cause(error: yaml.YAMLError) -> str:
    """What is wrong; PyYAML's own words quote tags, and a password may look like one."""
    return str(error.problem) if isinstance(error, _GivenTwice) else "not valid YAML"


def read_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables ``SESSION_<SECTION>__<KEY>`` by dotted key; an empty one counts as not set.

    Other names, such as ``SESSION_ADDRESS`` of scripts, are none of the configuration's.
    """
    return {
        name.removeprefix(_PREFIX).lower().replace(_NESTING, "."): value
        for name, value in environ.items()
        if name.startswith(_PREFIX) and _NESTING in name and value
    }


def variable(key: str) -> str:
    """The environment's name for a dotted key."""
    return _PREFIX + key.upper().replace(".", _NESTING)


def overlay(document: Mapping[str, Any], overrides: Mapping[str, str]) -> dict[str, Any]:
    """The document with the values of dotted keys put over its own."""
    merged: dict[str, Any] = {name: {} if value is None else value for name, value in document.items()}
    for key, value in overrides.items():
        section, _, rest = key.partition(".")
        merged[section] = _put(merged.get(section), rest.split("."), value)
    return merged


def _put(node: Any, path: list[str], value: str) -> Any:  # noqa: ANN401 - raw, of any shape
    if not path:
        return value
    branch = dict(node) if isinstance(node, dict) else {}
    branch[path[0]] = _put(branch.get(path[0]), path[1:], value)
    return branch
