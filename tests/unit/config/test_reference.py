"""Every key told for the manual."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from session_service.config import Config, ConfigKey, config_reference

KEYS = {each.key: each for each in config_reference()}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
def test_every_key_is_told(key: ConfigKey) -> None:
    """Each key has a kind and a description that begins in lower case and says what it does."""
    assert key.kind
    assert len(key.description) > 5
    assert not key.description.endswith(".")


def test_keys_of_every_depth_are_there() -> None:
    """Sections, sections within sections and the entries of lists."""
    assert {"redis.host", "redis.tls.ca_file", "admin.service_keys[].digest"} <= KEYS.keys()
    assert KEYS["redis.sentinel.nodes"].kind == "list of host:port"
    assert KEYS["session.on_limit"].kind == "evict_oldest or reject"


def test_secrets_are_marked() -> None:
    """Whatever never prints is told to be sensitive, and nothing else."""
    marked = {key for key, told in KEYS.items() if told.sensitive}
    assert marked == {"redis.password", "redis.url", "redis.sentinel.password"}


def test_the_defaults_told_are_the_defaults() -> None:
    """What the manual shows, written into a file, is what holds without a file."""
    written: dict[str, Any] = {}
    for key, told in KEYS.items():
        section, _, rest = key.partition(".")
        if "." not in rest and "[" not in rest:
            written.setdefault(section, {})[rest] = yaml.safe_load(told.default)
    assert Config.model_validate(written) == Config()
