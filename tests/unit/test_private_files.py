"""Files that hold secrets."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from session_service.private_files import create_private, replace_private


@pytest.fixture(autouse=True)
def generous_umask() -> object:
    """A umask that takes nothing away: modes are chosen, not inherited."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """The permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("write", [create_private, replace_private])
def test_a_new_file_is_for_its_owner_alone(tmp_path: Path, write: object) -> None:
    """Whatever the umask, nobody else can read it."""
    path = tmp_path / "secret"
    write(path, "text")  # type: ignore[operator]
    assert mode(path) == 0o600
    assert path.read_text() == "text"


def test_creating_never_overwrites(tmp_path: Path) -> None:
    """A file that is there stays, and so does a link to nowhere."""
    path = tmp_path / "secret"
    path.write_text("old")
    with pytest.raises(FileExistsError):
        create_private(path, "new")
    assert path.read_text() == "old"
    dangling = tmp_path / "link"
    dangling.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        create_private(dangling, "new")
    assert not (tmp_path / "elsewhere").exists()


def test_replacing_keeps_the_mode(tmp_path: Path) -> None:
    """Whoever could read the old one can read the new one, and nobody else."""
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o640)
    replace_private(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o640)


def test_replacing_follows_a_link(tmp_path: Path) -> None:
    """The link stays one, what it names is replaced."""
    path, link = tmp_path / "secret", tmp_path / "link"
    path.write_text("old")
    link.symlink_to(path)
    replace_private(link, "new")
    assert link.is_symlink()
    assert path.read_text() == "new"


def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader never finds half a file."""
    path = tmp_path / "secret"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        replace_private(path, "new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["secret"]
