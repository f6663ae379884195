"""Rules of the house that no linter knows, as functions from a file's text to what is wrong in it.

Each rule answers with the numbers of the lines that break it; `tests/unit/test_house_rules.py`
applies them to every file of the project and shows that each one bites.
"""

from __future__ import annotations

import ast
import re
import sys
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
LONGEST_FILE = 400

_NOT_OURS = {
    ".git",
    ".venv",
    "build",
    "dist",
    ".session-service",
    "__pycache__",
    ".hypothesis",
    ".schemathesis",
}
# Of cargo: what it builds, and what fuzzing keeps.
_NOT_OURS |= {"target", "corpus", "artifacts"}
_WALL_CLOCK = re.compile(r"(^|\.)(time\.time(_ns)?|datetime\.(now|utcnow|today)|date\.today)$")
_KEY = re.compile(r"\b(user_sessions?|user_devices|login_attempts):|\b(token|user):\{|\busername:[{%]")
_MODE = re.compile(r"[rwax][bt+]*")
_SLEEP = re.compile(r"(^|\.)sleep$")
# A dot is written [.] so that this file does not break its own rule.
_REGISTRY = re.compile(
    r"pypi[.]org|python[h]osted[.]org|registry[.]npmjs|proxy[.]golang|deb[.]debian|crates[.]io|repo1?[.]maven"
)

# What cargo writes into a lock for each crate, and would write again: a name, which no one fetches from.
_LOCKED_CRATE = re.compile(r'source = "registry[+]https://github[.]com/rust-lang/crates[.]io-index"')


def project_files(*suffixes: str) -> list[Path]:
    """Return the project's own files with one of the suffixes, or all; generated code is left out."""
    files = (path for path in _walk(ROOT) if "_pb2" not in path.name)
    return sorted(path for path in files if not suffixes or path.suffix in suffixes)


def too_long(text: str) -> list[int]:
    """A file has at most 400 lines."""
    lines = text.count("\n")
    return [lines] if lines > LONGEST_FILE else []


def names_a_registry(text: str) -> list[int]:
    """No file names the host of a package registry: where packages come from is the machine's affair."""
    return [number for number, line in enumerate(text.splitlines(), start=1) if _REGISTRY.search(line)]


def names_a_registry_in_cargo_lock(text: str) -> list[int]:
    """Cargo's lock names the registry of a crate in cargo's own line, and nowhere else."""
    lines = enumerate(text.splitlines(), start=1)
    return [number for number, line in lines if _REGISTRY.search(line) and not _LOCKED_CRATE.fullmatch(line)]


def depends_on_the_locale(text: str) -> list[int]:
    """Text in files and pipes is UTF-8 by name: where the locale says ASCII, Python would take that."""
    calls = (node for node in _nodes(text) if isinstance(node, ast.Call))
    return sorted({call.lineno for call in calls if _is_text_without_encoding(call)})


def _is_text_without_encoding(call: ast.Call) -> bool:
    keywords = {each.arg: each.value for each in call.keywords}
    if "encoding" in keywords:
        return False
    name = ast.unparse(call.func).rpartition(".")[2]
    constants = [each.value for each in (*call.args, *keywords.values()) if isinstance(each, ast.Constant)]
    if name in {"read_text", "write_text"}:
        return "utf-8" not in constants
    if name in {"open", "fdopen", "NamedTemporaryFile"}:
        modes = [value for value in constants if isinstance(value, str) and _MODE.fullmatch(value)]
        return any("b" not in mode for mode in modes)
    given = keywords.get("text")
    return isinstance(given, ast.Constant) and given.value is True


def reads_the_wall_clock(text: str) -> list[int]:
    """Code below `app` gets the time as a value or a `Clock`, and never reaches for the wall clock."""
    return sorted({node.lineno for node in _nodes(text) if _is_wall_clock(node)})


def spells_a_redis_key(text: str) -> list[int]:
    """A Redis key is spelled in `storage/keys.py` only; docstrings may mention one."""
    tree = ast.parse(text)
    docstrings = {id(node) for node in _docstrings(tree)}
    strings = (
        node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return [node.lineno for node in strings if id(node) not in docstrings and _KEY.search(str(node.value))]


def spells_a_redis_key_in_lua(text: str) -> list[int]:
    """A script gets its keys, or their prefixes, from `storage/keys.py` too; comments may mention one."""
    lines = enumerate(text.splitlines(), start=1)
    return [number for number, line in lines if _KEY.search(line.partition("--")[0])]


def leaves_a_script_unexplained(text: str) -> list[int]:
    """A script begins with a comment that says its purpose, its KEYS and ARGV if any, and what it returns."""
    head = "".join(takewhile(lambda line: line.startswith("--"), text.splitlines(keepends=True)))
    used = [name for name in ("KEYS", "ARGV") if name in text.removeprefix(head)]
    explained = head[:4].strip("- ").isupper() and all(f"\n-- {word} " in head for word in [*used, "Returns"])
    return [] if explained else [1]


def imports_beyond(text: str, *allowed: str) -> list[int]:
    """The file imports the standard library and the allowed packages only."""
    return [line for line, module in _imports(text) if not _may_import(module, allowed)]


def sleeps(text: str) -> list[int]:
    """A test waits on a condition (`eventually`), not for a guessed time; `asyncio.sleep(0)` only yields."""
    return [node.lineno for node in _nodes(text) if isinstance(node, ast.Call) and _is_sleep(node)]


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in _NOT_OURS or path.name.endswith("_cache"):
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def _nodes(text: str) -> Iterator[ast.expr | ast.stmt]:
    return (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.expr | ast.stmt))


def _is_wall_clock(node: ast.expr | ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module == "time" and any(alias.name in {"time", "time_ns"} for alias in node.names)
    return isinstance(node, ast.Attribute) and _WALL_CLOCK.search(ast.unparse(node)) is not None


def _is_sleep(node: ast.Call) -> bool:
    return _SLEEP.search(ast.unparse(node.func)) is not None and [
        ast.unparse(argument) for argument in node.args
    ] != ["0"]


def _docstrings(tree: ast.Module) -> Iterator[ast.expr]:
    return (node.value for node in ast.walk(tree) if isinstance(node, ast.Expr))


def _imports(text: str) -> Iterator[tuple[int, str]]:
    for node in _nodes(text):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def _may_import(module: str, allowed: tuple[str, ...]) -> bool:
    ours = any(module == name or module.startswith(f"{name}.") for name in allowed)
    return ours or module.partition(".")[0] in sys.stdlib_module_names
