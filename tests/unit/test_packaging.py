"""The lock installs what pyproject asks for, by hash, and the distribution ships what it needs."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
LOCKS = sorted(ROOT.glob("requirements*.lock"))
PACKAGES = [ROOT / "session_service", ROOT / "client" / "session_api", ROOT / "client" / "session_client"]


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _engine() -> dict[str, Any]:
    return tomllib.loads((ROOT / "engine" / "pyproject.toml").read_text())


def _project() -> dict[str, Any]:
    project: dict[str, Any] = _pyproject()["project"]
    return project


def _pins(lock: Path) -> Iterator[tuple[Requirement, list[str]]]:
    text = re.sub(r"^ *#.*$", "", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for entry in text.replace("\\\n", " ").split("\n"):
        if entry.strip():
            pin, *hashes = re.split(r"\s+--hash=", entry.strip())
            yield Requirement(pin), hashes


def _package_files() -> Iterator[str]:
    for package in PACKAGES:
        files = (path.relative_to(package.parent) for path in package.rglob("*") if path.is_file())
        yield from (str(path) for path in files if not any(_is_cache(part) for part in path.parts))


def _is_cache(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_line_is_pinned_by_hash(lock: Path) -> None:
    """A lock line is one exact version with SHA-256 hashes, and nothing else: no index, no link."""
    for pin, hashes in _pins(lock):
        assert re.fullmatch(r"==[^*]+", str(pin.specifier)), pin
        assert pin.url is None
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), pin


def test_the_locks_satisfy_every_requirement() -> None:
    """A lock has whatever pyproject asks for, in a version it accepts; the engine is built from here."""
    pinned = {canonicalize_name(pin.name): pin.specifier for lock in LOCKS for pin, _ in _pins(lock)}
    project = _project()
    extras = {name: asked for name, asked in project["optional-dependencies"].items() if name != "native"}
    asked = [*extras.values(), *_pyproject()["dependency-groups"].values()]
    for requirement in map(Requirement, chain(project["dependencies"], *asked)):
        version = str(pinned[canonicalize_name(requirement.name)]).removeprefix("==")
        assert requirement.specifier.contains(version), requirement


def test_the_locks_agree() -> None:
    """A package has one version in all locks that name it, so that a second install changes nothing."""
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        for pin, _ in _pins(lock):
            versions.setdefault(pin.name, set()).add(str(pin.specifier))
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_the_build_is_locked() -> None:
    """What the image builds the two wheels with is what their build systems ask for."""
    builds = [_pyproject()["build-system"], _engine()["build-system"]]
    asked = [requirement for build in builds for requirement in build["requires"]]
    assert _pyproject()["dependency-groups"]["build"] == asked


def test_the_engine_has_one_version() -> None:
    """Cargo, its wheel and the extra that asks for it name the same."""
    cargo = tomllib.loads((ROOT / "engine" / "Cargo.toml").read_text())["package"]
    wheel = _engine()["project"]
    assert (wheel["name"], wheel["version"]) == (cargo["name"], cargo["version"])
    assert _project()["optional-dependencies"]["native"] == [f"{wheel['name']}=={wheel['version']}"]


def test_the_servers_lock_has_no_tools() -> None:
    """Nothing of the image's lock is there for developers alone."""
    names = {pin.name for pin, _ in _pins(ROOT / "requirements-server.lock")}
    assert not names & {"hatchling", "mypy", "pip", "pytest", "ruff", "setuptools", "uv"}


def test_the_client_asks_for_grpc_and_protobuf_only() -> None:
    """Without an extra the distribution brings nothing but the two."""
    assert {Requirement(text).name for text in _project()["dependencies"]} == {"grpcio", "protobuf"}


def test_passlib_is_never_asked_for() -> None:
    """Only its fork libpass is installed: both own the same import."""
    names = {pin.name for lock in LOCKS for pin, _ in _pins(lock)}
    assert "libpass" in names
    assert "passlib" not in names


def test_the_wheel_holds_code_and_data(tmp_path: Path) -> None:
    """The wheel has every file of the three packages, scripts and lists too, and no other top-level name."""
    wheel = next(iter(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])))
    shipped = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert shipped == set(_package_files())
    assert {name.split("/")[0] for name in shipped} == {path.name for path in PACKAGES}
    assert {f"{path.name}/py.typed" for path in PACKAGES} <= shipped
