"""The list of common passwords."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from session_service.domain.errors import InvalidArgument
from session_service.domain.validation import Checker
from session_service.users.common_passwords import load_common_passwords

if TYPE_CHECKING:
    from pathlib import Path


def test_the_list_is_in_the_form_the_rule_compares_with(tmp_path: Path) -> None:
    """A new password is refused in whatever case, and only what the length rule lets by is kept."""
    path = tmp_path / "list.txt"
    path.write_bytes(b"PassWord123\r\nshort\n\nTr\xc3\xa4umerei\n\xff\xfe not utf-8 \xff\n  spaced  word\n")
    common = load_common_passwords(path)
    assert {"password123", "tr\u00e4umerei", "  spaced  word"} < common
    assert "short" not in common
    check = Checker()
    check.new_password("password", "pASSwORD123", common)
    with pytest.raises(InvalidArgument, match="most common"):
        check.done()


def test_a_missing_list_is_an_error(tmp_path: Path) -> None:
    """A list that was asked for and is not there stops the start; it is not taken for an empty one."""
    with pytest.raises(FileNotFoundError):
        load_common_passwords(tmp_path / "absent")
