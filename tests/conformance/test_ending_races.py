"""I2 and I4: out means out, also for whoever is busy with the session at that moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from session_service.domain.errors import InvalidCredentials, SessionEnded
from session_service.domain.models import CreatedSession
from session_service.domain.policy import new_id
from session_service.storage import keys
from tests.support.stores import claims, new_session, new_user

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from session_service.storage.sessions import RedisSessionWriter
    from tests.support.stores import Store

ROUNDS = 15


def _touch(writer: RedisSessionWriter, created: CreatedSession) -> Awaitable[object]:
    return writer.touch("ada", created.session_id)


def _rotate(writer: RedisSessionWriter, created: CreatedSession) -> Awaitable[object]:
    return writer.rotate("ada", created.session_id, 1, new_id())


def _retry(writer: RedisSessionWriter, created: CreatedSession) -> Awaitable[object]:
    return writer.create(new_session(request_id=created.session_id[:8]))


@pytest.mark.parametrize("busy", [_touch, _rotate, _retry])
async def test_nothing_brings_back_an_ended_session(
    store: Store, busy: Callable[[RedisSessionWriter, CreatedSession], Awaitable[object]]
) -> None:
    """Touches, refreshes and retries race an end, round after round: the session stays ended (I4)."""
    writer = store.writer(idle_timeout=600)
    for _ in range(ROUNDS):
        session_id = new_id()
        created = await writer.create(new_session(session_id=session_id, request_id=session_id[:8]))

        async def end(created: CreatedSession = created) -> None:
            assert await writer.end("ada", created.session_id)
            assert await store.sessions.read(claims("ada", created.session_id, created.token_id)) is None

        await asyncio.gather(
            *(busy(writer, created) for _ in range(5)),
            end(),
            *(busy(writer, created) for _ in range(5)),
            return_exceptions=True,
        )
        assert await store.do("EXISTS", keys.session("ada", created.session_id)) == 0
        assert await store.do("ZSCORE", keys.session_index("ada"), created.session_id) is None


async def test_an_acknowledged_end_holds_for_every_later_check(store: Store) -> None:
    """While checks run all the time, those that begin after the end was acknowledged fail (I2)."""
    writer, new = store.writer(), new_session()
    await writer.create(new)
    acknowledged = asyncio.Event()
    broken: list[object] = []

    async def check() -> None:
        for _ in range(100):
            began_after = acknowledged.is_set()
            state = await store.sessions.read(claims("ada", new.session_id, new.token_id))
            if began_after and state is not None:
                broken.append(state)

    async def end() -> None:
        await writer.end("ada", new.session_id)
        acknowledged.set()

    await asyncio.gather(*(check() for _ in range(8)), end())
    assert not broken


async def test_ending_all_ends_what_was_there(store: Store) -> None:
    """Logins go on while all sessions are ended: none that was there before is left (I2)."""
    writer = store.writer()
    before = [(await writer.create(new_session())).session_id for _ in range(20)]
    ending = asyncio.create_task(writer.end_all("ada"))
    later = await asyncio.gather(*(writer.create(new_session()) for _ in range(20)))
    assert await ending >= 20
    live = {each for each, _ in await store.sessions.activity("ada")}
    assert not live & set(before)
    assert live <= {each.session_id for each in later}
    indexed = await store.do("ZRANGE", keys.session_index("ada"), 0, -1)
    assert {each.decode() for each in indexed} == live


@pytest.mark.parametrize("change", ["password", "disable", "delete"])
async def test_no_login_slips_past_a_change_that_ends_sessions(store: Store, change: str) -> None:
    """Logins checked against the old state race the change; afterwards none of their sessions lives."""
    writer = store.writer()
    for _ in range(ROUNDS):
        user = await store.directory.create(new_user())
        changes = {
            "password": lambda: store.directory.set_password("ada", "$new$", end_sessions=True),
            "disable": lambda: store.directory.set_disabled("ada", disabled=True),
            "delete": lambda: store.directory.delete("ada"),
        }
        logins = [
            writer.create(new_session(password_hash=user.password_hash, request_id=f"r-{number}"))
            for number in range(10)
        ]
        outcomes = await asyncio.gather(*logins[:5], changes[change](), *logins[5:], return_exceptions=True)
        allowed = (CreatedSession, InvalidCredentials, SessionEnded)
        assert all(isinstance(each, allowed) for each in outcomes[:5] + outcomes[6:]), outcomes
        assert await store.sessions.activity("ada") == []
        assert not await store.keys("user_session*")
        await store.directory.delete("ada")


async def test_roles_set_during_logins_reach_every_session(store: Store) -> None:
    """Logins race a change of roles; afterwards no session has the old ones."""
    writer = store.writer()
    user = await store.directory.create(new_user(roles=("admin",)))
    for roles in (("viewer",), ("admin",), ("editor", "viewer"), ()):
        logins = [writer.create(new_session(password_hash=user.password_hash)) for _ in range(10)]
        await asyncio.gather(*logins[:5], store.directory.set_roles("ada", roles), *logins[5:])
        live = [each for each, _ in await store.sessions.activity("ada")]
        assert {each.roles for each in await store.sessions.fetch("ada", live)} == {roles}
