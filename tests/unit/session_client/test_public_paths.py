"""Which paths need no token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_client._public_paths import PublicPaths

from session_service.domain import public_paths as of_the_service

ENTRIES = ("/", "/open", "/static/*", "/a/b/")
PATHS = PublicPaths(ENTRIES)


@pytest.mark.parametrize("path", ["/", "/open", "/static/", "/static/a", "/static/a/b.js", "/a/b/"])
def test_what_is_listed_is_public(path: str) -> None:
    """A path itself, and all that is below a folder."""
    assert path in PATHS


@pytest.mark.parametrize(
    "path",
    [
        "",
        "open",
        "/open/",
        "/opened",
        "/Open",
        "/open?a",
        "/static",
        "/statics/a",
        "/a/b",
        "/static/../secret",
        "/static/./a",
        "/static/..",
        "/static//a",
        "//static/a",
        "/static/%2e%2e/secret",
        "/static/%61",
        "/static/..;/secret",
        "/static/a\\..\\secret",
        "/static/a b",
        "/static/a\n",
        "/static/\u2024\u2024/a",
    ],
    ids=repr,
)
def test_no_other_spelling_is_public(path: str) -> None:
    """Of a path that two servers could read differently nothing is said but that it is not public."""
    assert path not in PATHS


@given(st.text("/.%2eE;\\*?#a", max_size=12))
def test_the_service_lets_no_less_through(rest: str) -> None:
    """Whatever a stranger writes, what is public here is so for the service as a gateway."""
    if "/static/" + rest in PATHS:
        assert "/static/" + rest in of_the_service.PublicPaths(ENTRIES)


@pytest.mark.parametrize(
    "entry", ["", "open", "/*", "*", "/a*", "/a/*/b", "/a//b", "/a/../b", "/a?b", "/%61", "/a//*"]
)
def test_an_entry_is_one_path_or_one_folder(entry: str) -> None:
    """A mistake is told at the start, and everything at once cannot be made public by one."""
    with pytest.raises(ValueError, match=r"must|would"):
        PublicPaths([entry])


def test_one_text_is_no_list() -> None:
    """It would count as one entry per character, and `/` among them."""
    with pytest.raises(TypeError, match="not one string"):
        PublicPaths("/open")
