"""`make breaking` in repositories of its own: what it compares with, what it finds, what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet

from tests.support.house_rules import ROOT
from tests.support.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Callable

CONTRACT = "session_service/rpc/session.binpb"
NEEDED = ("Makefile", "buf.yaml", "protos/breaking.py", CONTRACT)
AUTHOR = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")


def _run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # A hook of git's that runs the tests names its own repository in the environment.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def _git(repository: Path, *arguments: str) -> None:
    done = _run(str(require_tool("git")), *AUTHOR, *arguments, cwd=repository)
    assert done.returncode == 0, done.stderr


def _make_breaking(repository: Path) -> subprocess.CompletedProcess[str]:
    """As typed, but with the environment that runs the tests in the place of `.venv`."""
    found = (f"BIN={Path(sys.executable).parent}", "--old-file=.venv/.installed")
    return _run(str(require_tool("make")), *found, "breaking", cwd=repository)


def _commit(repository: Path) -> None:
    _git(repository, "add", "--all")
    _git(repository, "commit", "--quiet", "--message=change")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the contract of today, committed, and no tag."""
    made = tmp_path / "repository"
    for name in NEEDED:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, made / name)
    for lock in ROOT.glob("requirements*.lock"):
        (made / lock.name).touch()
    (made / "pyproject.toml").touch()
    _git(made, "init", "--quiet")
    _commit(made)
    return made


def _change_login(repository: Path, change: Callable[[DescriptorProto], object]) -> None:
    """Change LoginRequest in the repository's contract."""
    path = repository / CONTRACT
    contract = FileDescriptorSet.FromString(path.read_bytes())
    [login] = [each for file in contract.file for each in file.message_type if each.name == "LoginRequest"]
    change(login)
    path.write_bytes(contract.SerializeToString(deterministic=True))


def _add_a_field(message: DescriptorProto) -> None:
    message.field.add(
        name="locale",
        number=99,
        json_name="locale",
        type=FieldDescriptorProto.TYPE_STRING,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )


def _remove_a_field(message: DescriptorProto) -> None:
    del message.field[0]


def test_without_a_tag_nothing_is_compared_and_that_is_said(repository: Path) -> None:
    """Before the first release every change passes."""
    _change_login(repository, _remove_a_field)
    done = _make_breaking(repository)

    assert done.returncode == 0, done.stderr
    assert "compared with nothing" in done.stdout


def test_a_compatible_change_passes(repository: Path) -> None:
    """A new field breaks nobody."""
    _git(repository, "tag", "v1")
    _change_login(repository, _add_a_field)
    done = _make_breaking(repository)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "compared with that of v1" in done.stdout


def test_an_incompatible_change_fails_and_is_named(repository: Path) -> None:
    """A field that is gone since the last tag is told by its message."""
    _git(repository, "tag", "v1")
    _change_login(repository, _remove_a_field)
    _commit(repository)
    done = _make_breaking(repository)

    assert done.returncode != 0
    assert '"LoginRequest"' in done.stdout + done.stderr


def test_the_last_tag_counts(repository: Path) -> None:
    """What an earlier release lost is no longer held against the next one."""
    _git(repository, "tag", "v1")
    _change_login(repository, _remove_a_field)
    _commit(repository)
    _git(repository, "tag", "v2")
    done = _make_breaking(repository)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "compared with that of v2" in done.stdout


def test_a_shallow_clone_fetches_what_it_lacks(repository: Path, tmp_path: Path) -> None:
    """Where CI cloned the last commit only, the tag before it is found nevertheless."""
    _git(repository, "tag", "v1")
    _change_login(repository, _remove_a_field)
    _commit(repository)
    clone = tmp_path / "clone"
    _git(tmp_path, "clone", "--quiet", "--depth=1", "--no-tags", repository.as_uri(), str(clone))
    done = _make_breaking(clone)

    assert done.returncode != 0
    assert "compared with that of v1" in done.stdout
    assert '"LoginRequest"' in done.stdout + done.stderr


def test_a_shallow_clone_that_cannot_fetch_does_not_pass(repository: Path, tmp_path: Path) -> None:
    """Not knowing whether there is a release is no success."""
    clone = tmp_path / "clone"
    _change_login(repository, _add_a_field)
    _commit(repository)
    _git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), str(clone))
    _git(clone, "remote", "set-url", "origin", (tmp_path / "gone").as_uri())

    assert _make_breaking(clone).returncode != 0
