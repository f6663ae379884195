"""Service keys: made, kept as digests, identified."""

from __future__ import annotations

import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_service.domain.service_keys import ServiceKey, ServiceKeys, new_service_key, service_key_digest


def _keys(*pairs: tuple[str, str]) -> ServiceKeys:
    return ServiceKeys(ServiceKey(name, service_key_digest(key), ("admin",)) for name, key in pairs)


def test_a_key_identifies_its_holder() -> None:
    """The key that was made leads to the name and roles it was configured with."""
    billing, ops = new_service_key(), new_service_key()
    keys = _keys(("billing", billing), ("ops", ops))
    found = keys.identify(ops)
    assert found is not None
    assert (found.name, found.roles) == ("ops", ("admin",))


@given(st.text())
def test_nothing_else_identifies_anyone(presented: str) -> None:
    """No other text is a key, the digest itself and the empty text included."""
    key = new_service_key()
    keys = _keys(("ops", key))
    for wrong in (presented, "", key[:-1], key + "=", key.upper(), service_key_digest(key)):
        assert keys.identify(wrong) is None


def test_without_keys_nobody_is_identified() -> None:
    """No configured key means closed, not open."""
    assert ServiceKeys().identify("") is None
    assert ServiceKeys().identify(new_service_key()) is None


def test_a_key_is_256_random_bits_behind_a_prefix() -> None:
    """Scanners can find a leaked key, and none is like another (ASVS 11.5.1)."""
    made = {new_service_key() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"ssk_[A-Za-z0-9_-]{43}", key) for key in made)


def test_no_secret_is_kept_or_shown() -> None:
    """The key is nowhere in what is kept, and not even its digest in a repr."""
    key = new_service_key()
    kept = ServiceKey("ops", service_key_digest(key), ("admin",))
    keys = ServiceKeys([kept])
    assert key not in repr(vars(keys))
    assert kept.digest not in f"{kept!r} {kept!s} {keys!r}"


def test_every_key_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time does not tell which key was presented: each is compared, whichever matches."""
    first, second = new_service_key(), new_service_key()
    keys = _keys(("first", first), ("second", second))
    compared: list[str] = []
    real = hmac.compare_digest

    def spy(one: str, other: str) -> bool:
        compared.append(one)
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    for presented in (first, second, "neither"):
        compared.clear()
        keys.identify(presented)
        assert compared == [service_key_digest(first), service_key_digest(second)]
