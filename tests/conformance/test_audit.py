"""The audit trail: complete, once, in order, and never in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from session_service.domain.errors import StoreUnavailable
from session_service.domain.events import Action, Actor, AuditEvent
from session_service.storage import keys
from session_service.storage.scripts import Mutations
from tests.support import eventually_async
from tests.support.stores import Faltering

if TYPE_CHECKING:
    from tests.support.stores import Store

LOGIN = AuditEvent(Action.LOGIN, "ada", "session-1", Actor("user:ada", "203.0.113.7"), detail="new_device")


async def trail(store: Store) -> list[dict[str, str]]:
    """The events in the stream."""
    entries = await store.do("XRANGE", keys.AUDIT_STREAM, "-", "+")
    decoded = []
    for _, fields in entries:
        pairs = fields.items() if isinstance(fields, dict) else zip(fields[::2], fields[1::2], strict=True)
        decoded.append({name.decode(): value.decode() for name, value in pairs})
    return decoded


async def test_an_event_is_written_as_it_was(store: Store) -> None:
    """Soon after it was recorded it is in the stream, with what is known and no more."""
    audit = store.audit()
    await audit.open()
    audit.record(LOGIN)
    [event] = await eventually_async(lambda: trail(store))
    assert event == {
        "action": "login",
        "user_id": "ada",
        "session_id": "session-1",
        "actor": "user:ada",
        "ip_address": "203.0.113.7",
        "detail": "new_device",
    }
    await audit.close()


async def test_events_keep_their_order_over_many_batches(store: Store) -> None:
    """Closing writes what is left, in order."""
    audit = store.audit()
    await audit.open()
    for number in range(1_234):
        audit.record(AuditEvent(Action.REFRESH, f"user-{number}"))
    await audit.close()
    assert [event["user_id"] for event in await trail(store)] == [f"user-{number}" for number in range(1_234)]


async def test_the_stream_is_capped(store: Store) -> None:
    """It keeps about as many events as were asked for, the newest."""
    audit = store.audit(stream_length=200)
    await audit.open()
    for number in range(3_000):
        audit.record(AuditEvent(Action.REFRESH, f"user-{number}"))
    await audit.close()
    events = await trail(store)
    assert 200 <= len(events) < 500
    assert events[-1]["user_id"] == "user-2999"


async def test_a_batch_whose_answer_was_lost_is_written_once(store: Store) -> None:
    """Trying again does not double events or counts (I7)."""
    faltering = Faltering(store, 1, made=True, error=StoreUnavailable())
    audit = store.through(faltering).audit()
    await audit.open()
    audit.record(LOGIN)
    await eventually_async(lambda: faltering.count >= 2)
    await audit.close()
    assert len(await trail(store)) == 1
    assert (await store.upkeep.stats()).created_sessions == 1


async def test_events_wait_while_the_store_is_away(store: Store) -> None:
    """Recording does not fail and nothing is lost; once the store is back all is written, in order."""
    away = Away(store)
    audit = store.through(away).audit()
    await audit.open()
    for number in range(5):
        audit.record(AuditEvent(Action.LOGOUT, f"user-{number}"))
    await eventually_async(lambda: away.refused >= 2)
    away.is_away = False
    await eventually_async(lambda: _has(store, 5))
    assert [event["user_id"] for event in await trail(store)] == [f"user-{number}" for number in range(5)]
    await audit.close()


async def test_an_overflow_is_told(store: Store) -> None:
    """With the buffer full the oldest events go; the trail says how many, and the counts stay right."""
    away = Away(store)
    audit = store.through(away).audit(capacity=10)
    await audit.open()
    audit.record(LOGIN)
    await eventually_async(lambda: away.refused > 0)
    for number in range(25):
        audit.record(AuditEvent(Action.LOGIN, f"user-{number}"))
    away.is_away = False
    await eventually_async(lambda: _has(store, 12))
    events = await trail(store)
    assert events[1] == {"action": "gap", "count": "15"}
    assert [event.get("user_id") for event in events[2:]] == [f"user-{number}" for number in range(15, 25)]
    assert (await store.upkeep.stats()).created_sessions == 26
    await audit.close()


async def test_closing_while_the_store_is_away_does_not_hang(store: Store) -> None:
    """What cannot be written at the end is given up."""
    away = Away(store)
    audit = store.through(away).audit()
    await audit.open()
    audit.record(LOGIN)
    await audit.close()
    assert await trail(store) == []


async def test_a_batch_that_cannot_be_written_does_not_stop_the_trail(store: Store) -> None:
    """A mistake in one batch costs that batch, and shows as a gap."""
    broken = Faltering(store, 1, made=False, error=RuntimeError("a bug"))
    audit = store.through(broken).audit()
    await audit.open()
    audit.record(LOGIN)
    await eventually_async(lambda: broken.count >= 1)
    audit.record(LOGIN)
    await audit.close()
    assert [event["action"] for event in await trail(store)] == ["gap", "login"]


async def test_values_cannot_forge_lines(store: Store) -> None:
    """Control characters and line separators go, and values are cut (ASVS 16.4.1)."""
    audit = store.audit()
    await audit.open()
    audit.record(AuditEvent(Action.ACCESS_DENIED, "a\r\nb\x00\x1b[31m\u2028\u202e\ud800", detail="x" * 1_000))
    await audit.close()
    [event] = await trail(store)
    assert event["user_id"] == "ab[31m"
    assert event["detail"] == "x" * 256


async def _has(store: Store, count: int) -> bool:
    return len(await trail(store)) == count


class Away(Mutations):
    """A store that is away until told otherwise."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.client, store.connections.changes)
        self.is_away = True
        self.refused = 0

    async def _send(self, *args: object) -> object:
        if self.is_away:
            self.refused += 1
            raise StoreUnavailable
        return await super()._send(*args)  # type: ignore[arg-type]
