"""The YAML file and the environment, as they are read."""

from __future__ import annotations

from traceback import format_exception
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_service.config.documents import ConfigError, overlay, read_environment, read_yaml, variable

if TYPE_CHECKING:
    from pathlib import Path


def _file(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_mapping_is_read(tmp_path: Path) -> None:
    """The file's sections come as they are; an empty file says nothing."""
    assert read_yaml(_file(tmp_path, "redis: {port: 1}\n")) == {"redis": {"port": 1}}
    assert read_yaml(_file(tmp_path, "# nothing\n")) == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("redis:\n  port: 1\n  host: a\n  port: 2\n", r"config\.yaml, line 2: port is given twice$"),
        ("redis: {}\nredis: {}\n", "redis is given twice"),
        ("a: [1\nb: hunter2", r"line \d+: not valid YAML"),
        ("a: !!python/object/apply:os.system [hunter2]", "not valid YAML"),
        ("redis: {password: !hunter2}", r"line 1: not valid YAML$"),
        ("redis: {password: *hunter2}", r"line 1: not valid YAML$"),
        ("- hunter2\n", "must be a mapping"),
        ("hunter2\n", "must be a mapping"),
        (b"a: \xff\xfe hunter2", "not UTF-8"),
        ("a: \x00hunter2", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_said_without_quoting(tmp_path: Path, text: str | bytes, problem: str) -> None:
    """A broken file is an error that names file and line, and shows nothing of what may be a password."""
    with pytest.raises(ConfigError, match=problem) as error:
        read_yaml(_file(tmp_path, text))
    assert "hunter2" not in str(error.value)
    assert "hunter2" not in "".join(format_exception(error.value)).replace(repr(text), "")


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A file that was asked for is never taken for an empty one."""
    with pytest.raises(ConfigError, match="No such file"):
        read_yaml(tmp_path / "absent.yaml")


def test_only_nested_names_are_the_configurations() -> None:
    """``SESSION_<SECTION>__<KEY>`` is taken; other names, and empty values, are not."""
    environ = {
        "SESSION_REDIS__TLS__CA_FILE": "/ca.pem",
        "SESSION_redis__Host": "h",
        "SESSION_REDIS__PASSWORD": "",
        "SESSION_ADDRESS": "127.0.0.1:1",
        "SESSION_CONFIG": "c.yaml",
        "REDIS__HOST": "other",
        "MY_SESSION_REDIS__HOST": "other",
    }
    assert read_environment(environ) == {"redis.tls.ca_file": "/ca.pem", "redis.host": "h"}


@given(st.from_regex(r"[a-z]+(\.[a-z]+(_[a-z]+)?){1,3}", fullmatch=True))
def test_a_variable_and_its_key_are_one(key: str) -> None:
    """Every key has one name in the environment, and comes back from it."""
    assert read_environment({variable(key): "x"}) == {key: "x"}


def test_the_environment_lies_over_the_file() -> None:
    """Single keys are replaced however deep, their neighbours stay, and the file is left as it was."""
    document = {"redis": {"host": "file", "tls": {"ca_file": "a"}}, "audit": None}
    merged = overlay(
        document, {"redis.host": "env", "redis.tls.cert_file": "c", "audit.buffer": "5", "new.x": "1"}
    )
    assert merged == {
        "redis": {"host": "env", "tls": {"ca_file": "a", "cert_file": "c"}},
        "audit": {"buffer": "5"},
        "new": {"x": "1"},
    }
    assert document["redis"] == {"host": "file", "tls": {"ca_file": "a"}}
