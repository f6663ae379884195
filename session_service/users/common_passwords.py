"""The list of common passwords that a new password must not be on (ASVS 6.2.4)."""

from __future__ import annotations

from pathlib import Path

from session_service.domain.validation import MAX_PASSWORD, MIN_PASSWORD


def load_common_passwords(path: Path) -> frozenset[str]:
    """Read a list, one password a line, in the form ``Checker.new_password`` compares with.

    What the length rule refuses anyway is left out. No list comes with the service: take one that
    fits your users, such as the 100,000 of the National Cyber Security Centre.

    Args:
        path: a UTF-8 text file; bytes that are not UTF-8 match nothing.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open(encoding="utf-8", errors="replace") as lines:
        passwords = (line.rstrip("\r\n").lower() for line in lines)
        return frozenset(each for each in passwords if MIN_PASSWORD <= len(each) <= MAX_PASSWORD)
