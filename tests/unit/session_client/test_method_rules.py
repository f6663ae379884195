"""Which methods are public, and which need a role."""

from __future__ import annotations

import pytest
from session_client import Identity, RoleRequired
from session_client._method_rules import MethodRules
from session_client.testing import FakeSessions

RULES = MethodRules(
    ["/s.Open/*", "/s.Shop/List"],
    {"/s.Open/Close": "admin", "/s.Shop/*": ("clerk", "admin"), "/s.Shop/Delete": "admin"},
)


def _user(*roles: str) -> Identity:
    sessions = FakeSessions()
    return sessions.verify(sessions.log_in(roles=roles))


@pytest.mark.parametrize(
    ("method", "public"),
    [
        ("/s.Open/Any", True),
        ("/s.Open/Close", False),
        ("/s.Shop/List", True),
        ("/s.Shop/Lists", False),
        ("/s.Opener/Any", False),
        ("/s.Other/Any", False),
        ("", False),
    ],
)
def test_a_methods_own_entry_counts_before_its_services(method: str, public: bool) -> None:
    """And nothing is public that no entry names."""
    assert RULES.is_public(method) is public


@pytest.mark.parametrize(
    ("method", "roles", "passes"),
    [
        ("/s.Shop/Buy", (), False),
        ("/s.Shop/Buy", ("clerk",), True),
        ("/s.Shop/Buy", ("x", "admin"), True),
        ("/s.Shop/Delete", ("clerk",), False),
        ("/s.Shop/Delete", ("admin",), True),
        ("/s.Shop/Delete", ("Admin", "adm"), False),
        ("/s.Other/Any", (), True),
    ],
)
def test_one_of_the_roles_is_needed(method: str, roles: tuple[str, ...], passes: bool) -> None:
    """By their exact names; the method's own, or else those of its service."""
    if passes:
        RULES.check(method, _user(*roles))
    else:
        with pytest.raises(RoleRequired) as raised:
            RULES.check(method, _user(*roles))
        assert raised.value.metadata["role"] in {"admin", "clerk,admin"}


def test_rules_are_read_once() -> None:
    """Roles out of a generator are there for the second call too."""
    rules = MethodRules(iter(["/s.A/B"]), {"/s.S/M": (role for role in ("admin",))})
    for _ in range(2):
        assert rules.is_public("/s.A/B")
        with pytest.raises(RoleRequired):
            rules.check("/s.S/M", _user())
