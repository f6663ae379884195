"""`session-service keys`."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from session_service.config.sections import Config
from session_service.domain.service_keys import ServiceKeys
from session_service.tokens.keys import KeyRing, load_key_ring, new_document

if TYPE_CHECKING:
    from tests.support.command_line import Commands


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A key file with one key of each purpose."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(new_document("EdDSA")))
    return path


def material(file: Path) -> set[str]:
    """Whatever in a key file is a secret."""
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    jwks = document["access"]["keys"] + document["refresh"]["keys"]
    return {jwk[name] for jwk in jwks for name in ("k", "d") if name in jwk}


@pytest.mark.parametrize("alg", ["EdDSA", "HS256", "ES256", "RS256"])
def test_new_keys_are_good_to_serve_with(commands: Commands, alg: str) -> None:
    """What is printed is a key file, with one key for access tokens and one for refresh tokens."""
    result = commands("keys", "new", "--alg", alg)

    ring = KeyRing.from_document(json.loads(result.stdout))
    assert [key.alg for key in ring.access] == [alg]
    assert [key.alg for key in ring.refresh] == ["HS256"]
    assert result.stderr == ""


def test_a_new_key_file_is_for_its_owner_alone(commands: Commands, tmp_path: Path) -> None:
    """The file has mode 0600, and one that is there is left alone."""
    path = tmp_path / "keys.json"
    made = commands("keys", "new", str(path))
    assert (made.exit_code, made.stdout) == (0, "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()

    again = commands("keys", "new", str(path))
    assert again.exit_code == 1
    assert "is there already" in again.stderr
    assert path.read_text() == before


def test_a_place_that_cannot_be_written_is_named(commands: Commands, tmp_path: Path) -> None:
    """The path and the reason are told in one line."""
    path = tmp_path / "none" / "keys.json"

    result = commands("keys", "new", str(path))
    assert result.exit_code == 1
    assert result.stderr == f"Error: {path}: No such file or directory\n"


def test_a_rotation_puts_a_new_key_first(commands: Commands, file: Path) -> None:
    """The new key signs with the algorithm of the former, which goes on verifying."""
    former = load_key_ring(file).access[0]

    listed = json.loads(commands("keys", "rotate", str(file), "--json").stdout)["keys"]
    ring = load_key_ring(file)
    assert [key.kid for key in ring.access][1:] == [former.kid]
    assert ring.access[0].alg == former.alg
    assert listed[0] == {"purpose": "access", "kid": ring.access[0].kid, "alg": "EdDSA", "signs": True}
    assert listed[1] == {"purpose": "access", "kid": former.kid, "alg": "EdDSA", "signs": False}
    assert listed[2] == {"purpose": "refresh", "kid": ring.refresh[0].kid, "alg": "HS256", "signs": True}


def test_a_rotation_may_change_the_algorithm_and_drop_old_keys(commands: Commands, file: Path) -> None:
    """`--alg` is the new key's, `--keep` counts it, and the other purpose is not touched."""
    refresh = load_key_ring(file).refresh
    for alg in ("ES256", "HS256", "RS256"):
        assert commands("keys", "rotate", str(file), "--alg", alg, "--keep", "2").exit_code == 0

    ring = load_key_ring(file)
    assert [key.alg for key in ring.access] == ["RS256", "HS256"]
    assert [key.kid for key in ring.refresh] == [key.kid for key in refresh]


def test_a_rotation_of_refresh_keys(commands: Commands, file: Path) -> None:
    """`--purpose refresh` rotates the other set, which takes HS256 only."""
    assert commands("keys", "rotate", str(file), "--purpose", "refresh").exit_code == 0
    assert len(load_key_ring(file).refresh) == 2

    refused = commands("keys", "rotate", str(file), "--purpose", "refresh", "--alg", "EdDSA")
    assert refused.exit_code == 2
    assert '"alg" must be HS256' in refused.stderr
    assert len(load_key_ring(file).refresh) == 2


def test_a_rotation_keeps_who_may_read_the_file(commands: Commands, file: Path) -> None:
    """Mode, owner and a link to the file stay; nothing is left beside it."""
    file.chmod(0o440)
    if os.geteuid() == 0:
        os.chown(file, 4711, 4712)
    link = file.with_name("current.json")
    link.symlink_to(file)
    before = file.stat()

    assert commands("keys", "rotate", str(link)).exit_code == 0
    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert link.is_symlink()
    assert len(load_key_ring(file).access) == 2
    assert sorted(path.name for path in file.parent.iterdir()) == ["current.json", "keys.json"]


@pytest.mark.parametrize("command", ["list", "rotate"])
@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("{", "is not usable JSON"),
        ("{}", 'must have exactly "access" and "refresh"'),
        ('{"access": {"keys": []}, "refresh": {"keys": []}}', '"access" must be a JWK set'),
    ],
)
def test_a_file_that_cannot_be_used_is_left_alone(
    commands: Commands, file: Path, command: str, content: str, error: str
) -> None:
    """What is wrong with it is told, with exit code 2."""
    file.write_text(content, encoding="utf-8")

    result = commands("keys", command, str(file))
    assert result.exit_code == 2
    assert error in result.stderr
    assert file.read_text(encoding="utf-8") == content


def test_a_file_that_is_not_there_is_named(commands: Commands, tmp_path: Path) -> None:
    """The path and the reason are told."""
    result = commands("keys", "list", str(tmp_path / "none.json"))

    assert result.exit_code == 2
    assert "none.json: No such file or directory" in result.stderr


def test_listing_and_rotating_show_no_secret(commands: Commands, file: Path) -> None:
    """Neither the table nor the document has anything of a key but its id and algorithm."""
    shown = ""
    for arguments in (["list"], ["list", "--json"], ["rotate"], ["rotate", "--json"]):
        shown += commands("keys", arguments[0], str(file), *arguments[1:]).output

    assert len(material(file)) == 4
    assert not [secret for secret in material(file) if secret in shown]


def test_a_service_key_goes_with_the_digest_that_is_configured(commands: Commands) -> None:
    """What is to be pasted into the configuration lets exactly this key in."""
    first, _, pasted = commands("keys", "service", "billing", "--role", "admin").stdout.partition("\n")
    key = first.rpartition(" ")[2]

    configured = Config.model_validate(yaml.safe_load(pasted.partition("configuration:\n")[2]))
    found = ServiceKeys(configured.admin.keys()).identify(key)
    assert found is not None
    assert (found.name, found.roles) == ("billing", ("admin",))
    assert key not in pasted


def test_a_service_key_as_a_document(commands: Commands) -> None:
    """`--json` has the key and the same sections."""
    document = commands.json("keys", "service", "billing")

    configured = Config.model_validate({"admin": document["admin"]})
    assert ServiceKeys(configured.admin.keys()).identify(document["key"]) is not None


def test_a_service_key_needs_a_name_that_can_be_logged(commands: Commands) -> None:
    """A name beyond letters, digits and . _ - is refused, and no key is made."""
    result = commands("keys", "service", "two words")

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: name: ")
    assert result.stdout == ""
