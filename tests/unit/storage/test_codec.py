"""Values survive being written to Redis and read back."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from session_service.domain.models import NO_DEVICE, Device
from session_service.storage import codec

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ROLES = st.from_regex(r"\A[A-Za-z0-9._:-]{1,64}\Z")


@given(st.builds(Device, *[TEXTS] * 6))
def test_any_device_is_read_back(device: Device) -> None:
    """No field is lost, mixed up or changed."""
    assert codec.decode_device(codec.encode_device(device).encode()) == device


@given(st.lists(ROLES, max_size=32).map(tuple))
def test_any_roles_are_read_back(roles: tuple[str, ...]) -> None:
    """Roles keep their order; none are none."""
    assert codec.decode_roles(codec.encode_roles(roles).encode()) == roles


def test_a_device_is_json_of_what_is_known() -> None:
    """Operators read it with redis-cli; empty fields cost nothing."""
    encoded = codec.encode_device(Device(name="Ada's phøne", user_agent="Mozilla/5.0"))
    assert json.loads(encoded) == {"name": "Ada's phøne", "user_agent": "Mozilla/5.0"}
    assert " " not in encoded.replace("Ada's phøne", "")
    assert codec.encode_device(NO_DEVICE) == ""


def test_a_later_versions_device_is_read() -> None:
    """While two versions run side by side, a field that only the newer one knows is passed over."""
    assert codec.decode_device(b'{"name":"x","colour":"blue"}') == Device(name="x")


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
