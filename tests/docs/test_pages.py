"""What the pages say of other files is so: links, tests by name, tables."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from tests.support import pages
from tests.support.house_rules import ROOT

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

PAGES = pytest.mark.parametrize("page", pages.pages(), ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    """The script that writes the tables, which lies outside of all packages."""
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@PAGES
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page leads to a file of the project, and to a heading if it names one."""
    assert not pages.broken_links(page, page.read_text("utf-8"))


@PAGES
def test_named_tests_exist(page: Path) -> None:
    """Every test that a page names is there."""
    assert not pages.missing_tests(page.read_text("utf-8"))


def test_tables_are_up_to_date(tables: ModuleType) -> None:
    """Making the tables again changes nothing: nobody edited one or forgot `make docs`."""
    for page in tables.PAGES:
        text = page.read_text("utf-8")
        assert tables.with_tables(text) == text, page.name


def test_each_table_has_its_place(tables: ModuleType) -> None:
    """No table is made that no page shows."""
    shown = "".join(page.read_text("utf-8") for page in tables.PAGES)
    assert [name for name in tables.TABLES if f"<!-- table: {name} -->" not in shown] == []


def test_a_table_out_of_date_is_noticed(tables: ModuleType) -> None:
    """A table with another row is replaced as a whole, and nothing around it."""
    page = "before\n<!-- table: commands -->\n| old |\n<!-- end -->\nafter\n"

    assert tables.with_tables(page) == page.replace("| old |\n", tables.TABLES["commands"]())


@pytest.mark.parametrize(
    "link", ["#no-such-heading", "no-such-file.md", "README.md#no-such-heading", "../outside.md"]
)
def test_a_broken_link_is_noticed(link: str) -> None:
    """A link to a heading, a file or a file's heading that there is not is found."""
    text = f"# A heading\n\n[right](#a-heading) [wrong]({link})\n"

    assert pages.broken_links(ROOT / "CHANGELOG.md", text) == [link]


@pytest.mark.parametrize(
    "name", ["docs/test_none.py", "docs/test_pages.py::test_none", "docs/test_pages.py::TestNone::test_none"]
)
def test_a_test_that_is_not_there_is_noticed(name: str) -> None:
    """A file or a test of a file that there is not is found."""
    text = f"shown by `docs/test_pages.py::test_links_lead_somewhere` and `{name}`"

    assert pages.missing_tests(text) == [name]
