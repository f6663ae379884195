"""docs/architecture.md leaves out nothing that it lists: keys, scripts, packages."""

from __future__ import annotations

import inspect
import re

from session_service.storage import keys
from tests.support.house_rules import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
SERVER = ROOT / "session_service"


def test_every_kind_of_key_is_told() -> None:
    """Each family of keys that `storage/keys.py` builds is in the table."""
    made = [
        function(*["x"] * len(inspect.signature(function).parameters))
        for name, function in inspect.getmembers(keys, inspect.isfunction)
        if function.__module__ == keys.__name__
        and name not in {"owner", "last_part", "claimed_name"}
        and not name.endswith("_prefix")
    ]
    fixed = [keys.AUDIT_STREAM, keys.AUDIT_COUNTERS, keys.USERNAMES, keys.SWEEP_LOCK]

    told = {re.split(r"[:`]", row)[0] for row in re.findall(r"^\| `(.*)", PAGE, re.MULTILINE)}
    assert {key.partition(":")[0] for key in [*made, *fixed]} <= told


def test_every_script_is_told() -> None:
    """Each Lua script is in the table, and the table has no other."""
    scripts = {path.name for path in (SERVER / "storage" / "lua").glob("[!_]*.lua")}

    assert set(re.findall(r"`(\w+\.lua)`", PAGE)) == scripts


def test_every_part_of_the_server_is_told() -> None:
    """Each package and module at the server's root is in the layout."""
    parts = {f"{path.name}/" for path in SERVER.iterdir() if (path / "__init__.py").exists()}
    parts |= {path.name for path in SERVER.glob("[!_]*.py")}
    layout = PAGE.partition("```text")[2].partition("```")[0]

    assert [part for part in parts if not re.search(rf"^  {re.escape(part)}", layout, re.MULTILINE)] == []
