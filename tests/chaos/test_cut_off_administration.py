"""An operator who is gone in the middle of a change of users: as with sessions, whole or not begun."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_service_pb2 as pb

from session_service.storage import keys
from session_service.users.password_hashes import PasswordHashes
from tests.support.cut_off import How, cut_off, settle, told
from tests.support.in_process import PASSWORD, ServiceUnderTest, bearer

SESSIONS = 2
HASH = PasswordHashes().hash(PASSWORD)
NEW_PASSWORD = "another horse's battery"


@dataclass(frozen=True, slots=True)
class Person:
    """A user, or one to be, with an access token of his."""

    service: ServiceUnderTest
    user_id: str
    token: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a user.

    Args:
        call: makes it, within a deadline in seconds.
        action: of the event that tells of it.
        left: how many sessions it leaves.
        points: how many users to change.
    """

    call: Callable[[Person, float | None], Any]
    action: str
    left: int = 0
    points: int = 200


def set_disabled(who: Person, deadline: float | None) -> Any:
    """Disable the user."""
    request = admin_pb.SetUserDisabledRequest(user_id=who.user_id, disabled=True)
    return who.service.admin_stub.SetUserDisabled(request, metadata=who.service.admin, timeout=deadline)


def set_roles(who: Person, deadline: float | None) -> Any:
    """Give the user another role."""
    request = admin_pb.SetUserRolesRequest(user_id=who.user_id, roles=["new"])
    return who.service.admin_stub.SetUserRoles(request, metadata=who.service.admin, timeout=deadline)


def set_password(who: Person, deadline: float | None) -> Any:
    """Give the user another password."""
    request = admin_pb.SetPasswordRequest(user_id=who.user_id, password=NEW_PASSWORD)
    return who.service.admin_stub.SetPassword(request, metadata=who.service.admin, timeout=deadline)


def change_password(who: Person, deadline: float | None) -> Any:
    """The user changes his password himself."""
    request = pb.ChangePasswordRequest(current_password=PASSWORD, new_password=NEW_PASSWORD)
    return who.service.sessions.ChangePassword(request, metadata=bearer(who.token), timeout=deadline)


def delete(who: Person, deadline: float | None) -> Any:
    """Remove the user."""
    request = admin_pb.DeleteUserRequest(user_id=who.user_id)
    return who.service.admin_stub.DeleteUser(request, metadata=who.service.admin, timeout=deadline)


def force_out(who: Person, deadline: float | None) -> Any:
    """End the user's sessions."""
    request = admin_pb.RevokeUserSessionsRequest(user_id=who.user_id)
    return who.service.admin_stub.RevokeUserSessions(request, metadata=who.service.admin, timeout=deadline)


def logout_all(who: Person, deadline: float | None) -> Any:
    """The user ends his sessions himself."""
    request = pb.LogoutAllRequest()
    return who.service.sessions.LogoutAll(request, metadata=bearer(who.token), timeout=deadline)


def create(who: Person, deadline: float | None) -> Any:
    """Add the user."""
    request = admin_pb.CreateUserRequest(
        username=f"name-{who.user_id}", user_id=who.user_id, password_hash=HASH, roles=["old"]
    )
    return who.service.admin_stub.CreateUser(request, metadata=who.service.admin, timeout=deadline)


CHANGES = {
    "SetUserDisabled": Change(set_disabled, "user_disabled"),
    "SetUserRoles": Change(set_roles, "user_roles_set", left=SESSIONS),
    "SetPassword": Change(set_password, "user_password_set", points=25),
    "ChangePassword": Change(change_password, "password_changed", left=1, points=25),
    "DeleteUser": Change(delete, "user_deleted"),
    "RevokeUserSessions": Change(force_out, "logout_all"),
    "LogoutAll": Change(logout_all, "logout_all"),
}
CREATION = Change(create, "user_created")

both_ways = pytest.mark.parametrize("how", ["hangs up", "runs out of time"])


@both_ways
@pytest.mark.parametrize("rpc", CHANGES)
async def test_a_user_is_changed_or_not(
    service: ServiceUnderTest, store: redis.Redis, how: How, rpc: str
) -> None:
    """Of each user directory, sessions and audit trail say the same: changed, or as before."""
    change = CHANGES[rpc]
    people = await asyncio.gather(*(_settled_in(service, f"u-{number}") for number in range(change.points)))
    before = {who.user_id: _state(store, who) for who in people}
    assert await cut_off([_calling(change, who) for who in people], how)
    await settle(service, store)
    changed = told(store, change.action, "user_id")
    for who in people:
        state = _state(store, who)
        if who.user_id in changed:
            assert _sessions(store, who) == change.left
            assert state != before[who.user_id]
        else:
            assert state == before[who.user_id]


@both_ways
async def test_a_user_is_added_or_not(service: ServiceUnderTest, store: Any, how: How) -> None:
    """Whom an event tells of can log in and is listed; nobody else is there, and his name is free."""
    people = [Person(service, f"u-{number}") for number in range(200)]
    assert await cut_off([_calling(CREATION, who) for who in people], how)
    await settle(service, store)
    added = told(store, "user_created", "user_id")
    assert added == sorted(who.user_id for who in people if store.exists(keys.user(who.user_id)))
    names = sorted(f"name-{user_id}" for user_id in added)
    assert sorted(name.decode() for name in store.zrange(keys.USERNAMES, 0, -1)) == names
    assert sorted(keys.claimed_name(key.decode()) for key in store.scan_iter(keys.ANY_USERNAME)) == names


def _calling(change: Change, who: Person) -> Callable[[float | None], Any]:
    return lambda deadline: change.call(who, deadline)


async def _settled_in(service: ServiceUnderTest, user_id: str) -> Person:
    """A user with sessions; no password is hashed for it."""
    await create(Person(service, user_id), None)
    opened = [await service.open_session(user_id) for _ in range(SESSIONS)]
    return Person(service, user_id, opened[0].access_token)


def _sessions(store: Any, who: Person) -> int:
    return int(store.zcard(keys.session_index(who.user_id)))


def _state(store: Any, who: Person) -> tuple[object, ...]:
    """All that a change may touch, less the note of when."""
    user = store.hgetall(keys.user(who.user_id))
    user.pop(b"updated_at", None)
    index = store.zrange(keys.session_index(who.user_id), 0, -1)
    sessions = [store.hget(keys.session(who.user_id, each.decode()), "roles") for each in index]
    name = f"name-{who.user_id}"
    return user, sessions, store.get(keys.username(name)), store.zscore(keys.USERNAMES, name)
