"""Which paths need no token: only those about whose meaning no two servers can differ."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from session_service.domain.public_paths import PublicPaths, is_normal, problem

PATHS = PublicPaths(["/", "/login", "/a/b/", "/static/*", "/v1/open/*"])

# Pieces that servers are known to read differently, and harmless ones.
TRICKS = (
    "..",
    ".",
    "%2e",
    "%2E%2e",
    "%2f",
    "%5c",
    "\\",
    ";",
    "..;",
    "//",
    "%252e",
    "%00",
    "\0",
    "\n",
    "#",
    " ",
)
PIECES = st.sampled_from([*TRICKS, "/", "a", "static", "admin", "%20", "?", "*", "é", "%c0%ae", "\uff0e"])


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/?next=/../admin",
        "/login",
        "/login?x=%2e%2e//",
        "/a/b/",
        "/static/",
        "/static/app.js?v=1",
        "/static/a/b/c~1.min.css",
        "/static/...",
        "/static/.hidden",
        "/static/my%20file(1).txt",
        "/v1/open/x",
    ],
)
def test_what_is_public(target: str) -> None:
    """One path, or what is below a folder, whatever the query says."""
    assert target in PATHS


@pytest.mark.parametrize(
    "target",
    [
        "",
        "login",
        "*",
        "/login/",
        "/Login",
        "/a/b",
        "/static",
        "/statics",
        "/staticx/app.js",
        "/Static/app.js",
        "/v1/openx",
        "http://host/static/x",
        "/login#x",
        "/login;x",
        "/login%3f",
        "/static/../admin",
        "/static/..",
        "/static/./x",
        "/static/.",
        "/static//x",
        "//static/x",
        "/./static/x",
        "/admin/../static/x",
        "/static/%2e%2e/admin",
        "/static/%2E./admin",
        "/static/.%2e/admin",
        "/static%2fx",
        "/static/%2Fadmin",
        "/static/..%2fadmin",
        "/static/..%5cadmin",
        "/static/..\\admin",
        "/static/..;/admin",
        "/static/x;/../../admin",
        "/static/%3b",
        "/static/%252e%252e/admin",
        "/static/%00",
        "/static/%0d%0aX: y",
        "/static/%7f",
        "/static/x\0",
        "/static/x\n",
        "/static/x y",
        "/static/%",
        "/static/%2",
        "/static/%zz",
        "/static/é",
        "/static/%c0%ae%c0%ae/admin",
        "/static/%ef%bc%8e",
        "/static/\uff0e\uff0e/admin",
        "/static/#/../admin",
        "/static/%23",
        "/static/%3F",
    ],
)
def test_what_is_not(target: str) -> None:
    """Another path, and a public one in any spelling that some server may read as another."""
    assert target not in PATHS


@given(st.lists(PIECES, max_size=12).map("".join))
@example("..;/admin")
@example("%2e%2e/admin")
def test_no_trick_gets_out_of_a_folder(tail: str) -> None:
    """However a server decodes, folds, cuts at ``;`` and resolves a public path, it stays where it is."""
    target = f"/static/{tail}"
    if target in PATHS:
        path = target.partition("?")[0]
        read = unquote(unquote(path)).replace("\\", "/")
        assert posixpath.normpath(read) == read.rstrip("/")
        assert posixpath.normpath(read.partition(";")[0]).startswith("/static")
        assert read.isascii()
        assert read.isprintable()


@given(st.text(max_size=60))
def test_whatever_is_public_is_normal(target: str) -> None:
    """No text is public by accident, and none makes the look-up fail."""
    if target in PATHS:
        assert is_normal(target.partition("?")[0])


def test_nothing_is_public_unless_listed() -> None:
    """Without entries no path is."""
    none = PublicPaths([])
    assert "/" not in none
    assert "" not in none


@pytest.mark.parametrize(
    ("entry", "wrong"),
    [
        ("", "must begin with /"),
        ("login", "must begin with /"),
        ("*", "must begin with /"),
        ("/*", "every path"),
        ("/static*", "one path"),
        ("/*/x", "one path"),
        ("/a/*/b/*", "one path"),
        ("/static//*", "normal form"),
        ("/a//b", "normal form"),
        ("/a/../b", "normal form"),
        ("/a?b", "normal form"),
        ("/a;b", "normal form"),
        ("/a%2fb/*", "normal form"),
        ("/é", "normal form"),
        ("/a b", "normal form"),
    ],
)
def test_a_wrong_entry_is_refused_and_told(entry: str, wrong: str) -> None:
    """What could not match, or would match too much, is an error of the configuration."""
    assert wrong in (problem(entry) or "")
    with pytest.raises(ValueError, match=wrong):
        PublicPaths([entry])
