"""I6: nothing in Redis can be replayed as a token, a refresh token or a password."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from session_service.domain.events import Action, AuditEvent
from session_service.domain.policy import new_id
from session_service.domain.ports import Counter
from session_service.storage import keys
from tests.support.stores import new_session, new_user

if TYPE_CHECKING:
    from tests.support.stores import Store

READ = {
    b"string": ("GET",),
    b"hash": ("HGETALL",),
    b"zset": ("ZRANGE", 0, -1),
    b"stream": ("XRANGE", "-", "+"),
}


async def dump(store: Store) -> str:
    """Every key and every value, as text."""
    told = []
    for key in await store.keys():
        kind = await store.do("TYPE", key)
        name, *args = READ[kind]
        told.append(f"{key} {await store.do(name, key, *args)}")
    return "\n".join(told)


async def test_nothing_in_redis_is_a_credential(store: Store) -> None:
    """Of everything that happens in a session's life only ids, digests and password hashes are kept.

    Signed tokens never come to the store: neither a JWT's three parts nor a refresh token's five,
    both joined by dots, are anywhere.
    """
    typed = "typed-into-the-wrong-field"
    writer, audit = store.writer(), store.audit()
    user = await store.directory.create(new_user())
    new = new_session(password_hash=user.password_hash, request_id="r-1")
    await writer.create(new)
    await writer.rotate("ada", new.session_id, 1, new_id())
    await store.attempts.take([Counter("account", typed, 5)], 60)
    await audit.open()
    audit.record(AuditEvent(Action.LOGIN, "ada", new.session_id))
    await audit.close()
    dumped = await dump(store)
    assert typed not in dumped
    assert not re.search(r"[\w-]{16,}\.[\w-]{16,}\.", dumped), dumped
    assert keys.session("ada", new.session_id) in dumped
