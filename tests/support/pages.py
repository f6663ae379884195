"""Reading the project's Markdown pages: fenced blocks, links, anchors, what tests they name."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.support.house_rules import ROOT, project_files

if TYPE_CHECKING:
    from pathlib import Path

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
_TEST: Final = re.compile(r"`((?:\w+/)*test_\w+\.py(?:::\w+)*)`")
_CODE: Final = re.compile(r"`[^`\n]*`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text, and the line it begins on."""

    language: str
    text: str
    line: int


def pages() -> list[Path]:
    """Every Markdown page of the project."""
    return project_files(".md")


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(found[1], found[2], text.count("\n", 0, found.start()) + 1) for found in _FENCE.finditer(text)
    ]


def links(text: str) -> list[str]:
    """Where a page links to, but for other sites."""
    prose = _CODE.sub("", _FENCE.sub("", text))
    return [target for target in _LINK.findall(prose) if "://" not in target]


def anchors(text: str) -> set[str]:
    """The anchors that the headings of a page get."""
    return {_anchor(heading) for heading in _HEADING.findall(_FENCE.sub("", text))}


def broken_links(page: Path, text: str) -> list[str]:
    """The links of a page that lead nowhere."""
    return [link for link in links(text) if not _leads_somewhere(page, text, link)]


def named_tests(text: str) -> list[str]:
    """The tests that a page names, by file or as pytest does, paths as from tests/."""
    return _TEST.findall(text)


def missing_tests(text: str) -> list[str]:
    """The tests that a page names and that there are not."""
    return [name for name in named_tests(text) if not _is_test(*name.split("::"))]


def _is_test(path: str, *names: str) -> bool:
    file = ROOT / "tests" / path
    if not file.exists():
        return False
    node: ast.AST = ast.parse(file.read_text("utf-8"))
    for name in names:
        found = [each for each in ast.iter_child_nodes(node) if getattr(each, "name", None) == name]
        if not found:
            return False
        node = found[0]
    return True


def _leads_somewhere(page: Path, text: str, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or anchor in anchors(text if target == page else target.read_text("utf-8"))


def _anchor(heading: str) -> str:
    """As GitHub makes it: lower case, without punctuation, spaces as hyphens."""
    plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return plain.replace(" ", "-")
