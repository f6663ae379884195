"""Sessions in Redis: the strict reads and the atomic changes.

What each operation costs, in commands on keys of one slot:

======== ==========================================================================
read     ``GET token:…`` + ``HMGET user_session:…``, in one round trip with what else is read at once
read_all the same for each, all in one round trip
activity ``ZSCAN user_sessions:…``, then ``HGET`` for each, by the thousand
fetch    ``HMGET`` for each, one round trip
others   one script of ``lua/``; ``end_all`` and an overfull ``create`` go by batches
======== ==========================================================================

Expiry is Redis's own (``PEXPIREAT`` on each key); expired-key events are not relied on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from session_service.domain.errors import InvalidCredentials, SessionEnded, SessionLimitReached
from session_service.domain.models import (
    AccessClaims,
    CreatedSession,
    NewSession,
    Rotation,
    RotationRefused,
    Session,
    SessionPolicy,
)
from session_service.domain.policy import MAX_SESSIONS_LIMIT
from session_service.domain.ports import OnStates, State
from session_service.domain.steady import steady
from session_service.storage import codec, keys
from session_service.storage.device_text import encode_device
from session_service.storage.gathering import HOLD, Gathering
from session_service.storage.questions import question
from session_service.storage.reads import Outcome, Reads
from session_service.storage.scripts import Mutations, Part, load

BATCH: Final = 500
"""Sessions that one script run ends or changes: about 2 ms of Redis's time."""

DEVICE_MEMORY_MS: Final = 180 * 86_400_000
_MAX_DEVICES: Final = 100
_REQUEST_MEMORY_MS: Final = 60_000
_PAGE: Final = 1_000

_CREATE: Final = load("create")
_ROTATE: Final = load("rotate")
_TOUCH: Final = load("touch")
_END: Final = load("end")
_END_ALL: Final = load("end_all")


class RedisSessionReader:
    """Reads sessions from the primary; see ``domain.ports.SessionReader``.

    Args:
        reads: the pipelined way to the primary.
    """

    __slots__ = ("_gathering", "_reads", "_waiting")

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._waiting: list[tuple[AccessClaims, asyncio.Future[State]]] = []
        self._gathering = Gathering()

    def read(self, claims: AccessClaims) -> asyncio.Future[State]:
        """The session and one of its tokens; see ``SessionReader.read``.

        What is asked for in one turn of the loop shares a round trip, and in a millisecond while that pays
        (``gathering``). Ids of verified claims are ASCII, so that none keeps the others from being packed.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            if self._gathering.holds:
                loop.call_later(HOLD, self._ask_waiting)
            else:
                loop.call_soon(self._ask_waiting)
        known: asyncio.Future[State] = loop.create_future()
        self._waiting.append((claims, known))
        return known

    def _ask_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []

        def take(places: Sequence[int], states: Sequence[State]) -> None:
            for place, state in zip(places, states, strict=True):
                known = waiting[place][1]
                if not known.done():
                    known.set_result(state)

        try:
            # Not by the loop's clock: uvloop's counts whole milliseconds.
            self._gathering.left(len(waiting), steady())
            self.ask([claims for claims, _ in waiting], take)
        except Exception as error:  # noqa: BLE001 - else those who wait would do so for ever
            take(range(len(waiting)), [error] * len(waiting))

    async def read_all(self, claims: Sequence[AccessClaims]) -> Sequence[State]:
        """For each token, in order, what ``read`` gives; in one round trip."""
        if not claims:
            return []
        states: list[State] = [None] * len(claims)
        known: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        missing = len(claims)

        def take(places: Sequence[int], said: Sequence[State]) -> None:
            nonlocal missing
            for place, state in zip(places, said, strict=True):
                states[place] = state
            missing -= len(places)
            if not missing and not known.done():
                known.set_result(None)

        self.ask(claims, take)
        await known
        return states

    def ask(self, claims: Sequence[AccessClaims], on_states: OnStates) -> None:
        """As ``read_all``, apart for each primary; see ``SessionReader.ask``."""
        questions = [question(each) for each in claims]

        def take(places: Sequence[int], outcomes: Sequence[Outcome]) -> None:
            asked = questions if len(places) == len(questions) else [questions[each] for each in places]
            on_states(places, [each.state(outcome) for each, outcome in zip(asked, outcomes, strict=True)])

        self._reads.ask(questions, take)

    async def activity(self, user_id: str) -> Sequence[tuple[str, int]]:
        """``(session_id, last_active_ms)`` of each live session, in no order."""
        index = keys.session_index(user_id)
        found: dict[str, int] = {}
        cursor = b"0"
        while True:
            [(cursor, entries)] = await self._reads.read(index, ("ZSCAN", index, cursor, "COUNT", _PAGE))
            session_ids = [member.decode() for member in entries[::2]]
            found.update(await self._last_active(user_id, session_ids))
            if int(cursor) == 0:
                return list(found.items())

    async def _last_active(self, user_id: str, session_ids: Sequence[str]) -> dict[str, int]:
        if not session_ids:
            return {}
        replies = await self._reads.read(
            keys.session_index(user_id),
            *(("HGET", keys.session(user_id, each), "last_active") for each in session_ids),
        )
        return {each: int(active) for each, active in zip(session_ids, replies, strict=True) if active}

    async def fetch(self, user_id: str, session_ids: Sequence[str]) -> Sequence[Session]:
        """These sessions in this order, without those that ended meanwhile."""
        if not session_ids:
            return []
        replies = await self._reads.read(
            keys.session_index(user_id),
            *(("HMGET", keys.session(user_id, each), *codec.SESSION_FIELDS) for each in session_ids),
        )
        return [session for each in replies if (session := codec.decode_session(each))]

    async def knows_device(self, user_id: str, fingerprint: str) -> bool:
        """Whether the user has logged in with this device within the last 180 days."""
        key = keys.user_devices(user_id)
        (seconds, _), seen = await self._reads.read(key, ("TIME",), ("ZSCORE", key, fingerprint))
        return seen is not None and float(seen) > int(seconds) * 1000 - DEVICE_MEMORY_MS


class RedisSessionWriter:
    """Changes sessions, each change one script; see ``domain.ports.SessionWriter``.

    Args:
        mutations: runs them.
        policy: lives and limits.

    Raises:
        ValueError: ``policy.max_sessions`` is above ``MAX_SESSIONS_LIMIT``.
    """

    def __init__(self, mutations: Mutations, policy: SessionPolicy) -> None:
        if policy.max_sessions > MAX_SESSIONS_LIMIT:
            raise ValueError(f"max_sessions must be at most {MAX_SESSIONS_LIMIT}")
        self._mutations = mutations
        self._policy = policy
        self._token_life = policy.token_expire * 1000
        self._idle_life = policy.idle_timeout * 1000

    async def create(self, new: NewSession) -> CreatedSession:
        """Create a session with its first token and its index entry, within the limit.

        Raises:
            InvalidCredentials: the directory user is gone, disabled, or has another password by now.
            SessionLimitReached: the user has as many as allowed and the policy is ``reject``.
            SessionEnded: the request id repeats a creation whose session has ended since.
            StoreUnavailable: Redis cannot answer.
        """
        made_room: list[str] = []
        while True:
            status, *reply = await self._mutations.run(
                _CREATE, self._creation_keys(new), *self._creation_args(new)
            )
            match status:
                case b"again":
                    made_room += _texts(reply)
                case b"refused":
                    raise InvalidCredentials
                case b"ended":
                    raise SessionEnded
                case b"full":
                    raise SessionLimitReached(limit=str(self._policy.max_sessions))
                case _:
                    return _created(reply, made_room, repeated=status == b"repeated")

    def _creation_keys(self, new: NewSession) -> list[str]:
        user_id = new.user_id
        named = (_proof(new), new.fingerprint, new.request_id)
        request = [keys.login_request(user_id, *named)] if new.request_id else []
        return [
            keys.session(user_id, new.session_id),
            keys.token(user_id, new.token_id),
            keys.session_index(user_id),
            keys.user(user_id),
            keys.user_devices(user_id),
            *request,
        ]

    def _creation_args(self, new: NewSession) -> list[Part]:
        policy = self._policy
        return [
            keys.session_prefix(new.user_id),
            keys.token_prefix(new.user_id),
            new.session_id,
            new.token_id,
            new.user_id,
            new.username,
            codec.encode_roles(new.roles),
            encode_device(new.device),
            new.ip_address,
            new.fingerprint,
            _proof(new),
            new.password_hash or "",
            policy.session_expire * 1000,
            self._token_life,
            self._idle_life,
            policy.max_sessions,
            policy.on_limit.value,
            _REQUEST_MEMORY_MS,
            DEVICE_MEMORY_MS,
            _MAX_DEVICES,
            MAX_SESSIONS_LIMIT,
        ]

    async def touch(self, user_id: str, session_id: str) -> None:
        """Note activity and put off idle expiry; does nothing to a session that is gone."""
        session = keys.session(user_id, session_id)
        await self._mutations.run(_TOUCH, [session], self._idle_life, acknowledged=False)

    async def rotate(
        self, user_id: str, session_id: str, generation: int, token_id: str
    ) -> Rotation | RotationRefused:
        """Accept or refuse a refresh token of this generation, as ``policy.judge_rotation``.

        Args:
            user_id: whose session.
            session_id: the session.
            generation: as in the token.
            token_id: id for the new access token, if one is made.
        """
        status, *reply = await self._mutations.run(
            _ROTATE,
            [keys.session(user_id, session_id), keys.token(user_id, token_id), keys.session_index(user_id)],
            *_prefixes(user_id),
            session_id,
            token_id,
            generation,
            self._token_life,
            self._policy.refresh_grace * 1000,
            self._idle_life,
        )
        if not reply:
            return RotationRefused(status.decode())
        token, current, issued, token_expires, expires = reply
        return Rotation(
            token_id=token.decode(),
            generation=current,
            token_issued_ms=issued,
            token_expires_ms=token_expires,
            session_expires_ms=expires,
            repeated=status == b"repeated",
        )

    async def end(self, user_id: str, session_id: str) -> bool:
        """End one session; ``False`` if it was not alive."""
        held = [keys.session(user_id, session_id), keys.session_index(user_id)]
        return bool(await self._mutations.run(_END, held, *_prefixes(user_id), session_id))

    async def end_all(self, user_id: str, keep: str | None = None) -> int:
        """End the user's sessions, all or all but ``keep``; how many were alive."""
        return await end_all(self._mutations, user_id, keep)


async def end_all(mutations: Mutations, user_id: str, keep: str | None = None) -> int:
    """End a user's sessions batch by batch until none (or only ``keep``) is left."""
    total = 0
    left = 1
    while left:
        ended, left = await mutations.run(
            _END_ALL, [keys.session_index(user_id)], *_prefixes(user_id), keep or "", BATCH
        )
        total += int(ended)
    return total


def _prefixes(user_id: str) -> tuple[str, str]:
    return keys.session_prefix(user_id), keys.token_prefix(user_id)


def _proof(new: NewSession) -> str:
    """How the user was proven: to a trusted service, or here by password."""
    return "trusted" if new.password_hash is None else "password"


def _texts(replies: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(each.decode() for each in replies)


def _created(reply: Sequence[bytes], made_room: Sequence[str], *, repeated: bool) -> CreatedSession:
    session_id, token_id, username, roles, generation, issued, token_expires, expires, new_device = reply[:9]
    return CreatedSession(
        session_id=session_id.decode(),
        token_id=token_id.decode(),
        username=username.decode(),
        roles=codec.decode_roles(roles),
        generation=int(generation),
        token_issued_ms=int(issued),
        token_expires_ms=int(token_expires),
        session_expires_ms=int(expires),
        new_device=int(new_device) == 1,
        evicted=(*made_room, *_texts(reply[9:])),
        repeated=repeated,
    )
