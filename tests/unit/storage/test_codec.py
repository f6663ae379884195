"""Values survive being written to Redis and read back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from session_service.domain.models import NO_DEVICE
from session_service.storage import codec

ROLES = st.from_regex(r"\A[A-Za-z0-9._:-]{1,64}\Z")


@given(st.lists(ROLES, max_size=32).map(tuple))
def test_any_roles_are_read_back(roles: tuple[str, ...]) -> None:
    """Roles keep their order; none are none."""
    assert codec.decode_roles(codec.encode_roles(roles).encode()) == roles


def test_what_is_gone_is_none() -> None:
    """A hash that is not there has no fields at all."""
    assert codec.decode_session([None] * len(codec.SESSION_FIELDS)) is None
    assert codec.decode_user([None] * len(codec.USER_FIELDS)) is None


def test_absent_fields_are_empty() -> None:
    """Left out when written, they are empty when read."""
    session = codec.decode_session([b"s", b"u", b"Ada", None, None, None, b"1", b"2", b"3"])
    assert session is not None
    assert (session.roles, session.device, session.ip_address) == ((), NO_DEVICE, "")
    user = codec.decode_user([b"u", b"Ada", b"", b"0", b"1", b""])
    assert user is not None
    assert (user.roles, user.disabled, user.password_hash) == ((), False, "")
