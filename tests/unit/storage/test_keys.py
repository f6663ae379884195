"""The names of keys are a contract with operators, and slots keep a user together."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from session_service.storage import keys


def test_keys_are_spelled_as_documented() -> None:
    """Operators count these families with redis-cli; the spelling does not change."""
    assert keys.session("u", "s") == "user_session:{u}:s"
    assert keys.token("u", "t") == "token:{u}:t"
    assert keys.session_index("u") == "user_sessions:{u}"
    assert keys.user("u") == "user:{u}"
    assert keys.username("ada") == "username:ada"
    assert keys.user_devices("u") == "user_devices:{u}"
    assert keys.login_request("u", "password", "d", "r") == "login_request:{u}:password:d:r"
    assert keys.AUDIT_STREAM == "session_events"


@pytest.mark.parametrize("user_id", ["u", "a:b|c@d.e~f+g-h", "x" * 128])
def test_all_keys_of_a_user_share_a_slot(user_id: str) -> None:
    """Whatever the id, one script can hold everything of a user, in a cluster too."""
    slots = {
        key_slot(key.encode())
        for key in (
            keys.session(user_id, "s"),
            keys.token(user_id, "t"),
            keys.session_index(user_id),
            keys.user(user_id),
            keys.user_devices(user_id),
            keys.login_request(user_id, "password", "d", "r"),
        )
    }
    assert len(slots) == 1


def test_the_trail_and_its_counters_share_a_slot() -> None:
    """Events and counts are written by one script."""
    written = (keys.AUDIT_STREAM, keys.AUDIT_COUNTERS, keys.audit_writer("w"))
    assert len({key_slot(key.encode()) for key in written}) == 1


def test_prefixes_and_keys_agree() -> None:
    """What a script builds from a prefix is what this module builds."""
    assert keys.session_prefix("u") + "s" == keys.session("u", "s")
    assert keys.token_prefix("u") + "t" == keys.token("u", "t")


def test_keys_are_read_back() -> None:
    """Sweep and check learn from a key whose it is."""
    assert keys.owner(keys.session("a:b", "s")) == "a:b"
    assert keys.owner(keys.session_index("u")) == "u"
    assert keys.last_part(keys.session("a:b", "s-1_x")) == "s-1_x"
    assert keys.claimed_name(keys.username("ada:x}:y")) == "ada:x}:y"


def test_what_was_typed_as_a_name_is_not_in_the_key() -> None:
    """A password typed into the name field does not end up in Redis in clear."""
    key = keys.login_attempts("account", "correct horse battery staple")
    assert key.startswith("login_attempts:account:")
    assert "correct" not in key
    assert key != keys.login_attempts("account", "Correct horse battery staple")
