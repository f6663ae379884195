"""What a request's fields may hold; every wrong field is named with its limit.

A ``Checker`` collects violations, so that one answer names them all::

    check = Checker()
    check.username("username", request.username)
    check.password("password", request.password)
    check.done()
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import fields

from session_service.domain.errors import FieldViolation, InvalidArgument
from session_service.domain.models import Device
from session_service.domain.policy import PageCursor, decode_cursor, normalise_username

MAX_USERNAME = 128
MIN_PASSWORD = 8
MAX_PASSWORD = 256
MAX_ROLES = 32
MAX_DEVICE_BYTES = 4096
DEVICE_LIMITS = {
    "device_id": 128,
    "name": 128,
    "platform": 64,
    "user_agent": 1024,
    "app_version": 64,
    "ip_address": 45,
}
DEFAULT_PAGE = 20
MAX_PAGE = 100

_USER_ID = re.compile(r"[A-Za-z0-9._~@|:+-]{1,128}")
_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_ROLE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_REQUEST_ID = re.compile(r"[!-~]{1,64}")
_FOREIGN_PAGE = "must be a next_page_token of an earlier answer"
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


class Checker:
    """Collects the violations of one request; ``done`` raises them together."""

    def __init__(self) -> None:
        self._violations: list[FieldViolation] = []

    def done(self) -> None:
        """Raise what was found.

        Raises:
            InvalidArgument: naming every wrong field.
        """
        if self._violations:
            raise InvalidArgument(*self._violations)

    def wrong(self, field: str, description: str) -> None:
        """Note that a field is wrong."""
        self._violations.append(FieldViolation(field, description))

    def username(self, field: str, value: str) -> None:
        """1 to 128 printable characters, no white space, also after normalisation."""
        if not value:
            self.wrong(field, "is required")
        elif len(value) > MAX_USERNAME or len(normalise_username(value)) > MAX_USERNAME:
            self.wrong(field, f"must have at most {MAX_USERNAME} characters")
        elif not _printable(value) or any(map(str.isspace, value + normalise_username(value))):
            self.wrong(field, "must not contain white space or control characters")

    def login_password(self, field: str, value: str) -> None:
        """A password offered for checking: present, and short enough to hash."""
        if not value:
            self.wrong(field, "is required")
        elif len(value) > MAX_PASSWORD:
            self.wrong(field, f"must have at most {MAX_PASSWORD} characters")

    def new_password(self, field: str, value: str, common: Collection[str]) -> None:
        """A password about to be set: 8 to 256 characters, not a common one (ASVS 6.2.1, 6.2.4).

        Taken as it is: no composition rules, no trimming, no case change (ASVS 6.2.5, 6.2.8).
        """
        if not MIN_PASSWORD <= len(value) <= MAX_PASSWORD:
            self.wrong(field, f"must have {MIN_PASSWORD} to {MAX_PASSWORD} characters")
        elif value.lower() in common:
            self.wrong(field, "is one of the most common passwords")

    def user_id(self, field: str, value: str) -> None:
        """1 to 128 characters of ``A-Za-z0-9._~@|:+-`` (safe in keys, headers and tokens)."""
        if not _USER_ID.fullmatch(value):
            self.wrong(field, "must be 1 to 128 characters of A-Z a-z 0-9 . _ ~ @ | : + -")

    def session_id(self, field: str, value: str) -> None:
        """22 url-safe characters."""
        if not _SESSION_ID.fullmatch(value):
            self.wrong(field, "must be 22 url-safe characters")

    def request_id(self, field: str, value: str) -> None:
        """Empty, or 1 to 64 visible ASCII characters."""
        if value and not _REQUEST_ID.fullmatch(value):
            self.wrong(field, "must be at most 64 visible ASCII characters")

    def roles(self, field: str, values: Sequence[str]) -> None:
        """At most 32 roles of 1 to 64 characters of ``A-Za-z0-9._:-``."""
        if len(values) > MAX_ROLES:
            self.wrong(field, f"must be at most {MAX_ROLES} roles")
        for position, role in enumerate(values[:MAX_ROLES]):
            if not _ROLE.fullmatch(role):
                self.wrong(f"{field}[{position}]", "must be 1 to 64 characters of A-Z a-z 0-9 . _ : -")

    def device(self, field: str, device: Device) -> None:
        """Printable fields within their lengths, an IP address that is one, 4 KiB in all."""
        total = 0
        for each in fields(device):
            value: str = getattr(device, each.name)
            total += len(value.encode(errors="replace"))
            limit = DEVICE_LIMITS[each.name]
            if len(value) > limit:
                self.wrong(f"{field}.{each.name}", f"must have at most {limit} characters")
            elif not _printable(value):
                self.wrong(f"{field}.{each.name}", "must not contain control characters")
        if total > MAX_DEVICE_BYTES:
            self.wrong(field, f"must be at most {MAX_DEVICE_BYTES} bytes in all")
        if device.ip_address and not _is_address(device.ip_address):
            self.wrong(f"{field}.ip_address", "must be an IPv4 or IPv6 address")

    def page_size(self, field: str, value: int) -> int:
        """The size to use: 0 means the default, more than the most is the most."""
        if value < 0:
            self.wrong(field, f"must be 0 to {MAX_PAGE}")
        return min(value or DEFAULT_PAGE, MAX_PAGE)

    def page_token(self, field: str, value: str) -> PageCursor | None:
        """The cursor of a page token of ours; ``None`` for the first page."""
        cursor = PageCursor.decode(value) if value else None
        if value and cursor is None:
            self.wrong(field, _FOREIGN_PAGE)
        return cursor

    def user_page_token(self, field: str, value: str) -> str:
        """The name after which the page of users begins; empty for the first page."""
        after = decode_cursor("user", value) if value else ("",)
        if after is None or len(after) != 1:
            self.wrong(field, _FOREIGN_PAGE)
            return ""
        return after[0]


def _printable(value: str) -> bool:
    # Of ASCII Python says at once what is printable.
    return (value.isascii() and value.isprintable()) or not any(
        unicodedata.category(character) in _UNPRINTABLE for character in value
    )


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return "%" not in value
