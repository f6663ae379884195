"""The directory of users in Redis.

======================== ======================================================================
``user:{<id>}``          the user, a hash; in one slot with the user's sessions
``username:<name>``      who has a normalised name: a claim, in a slot of its own
``usernames``            all normalised names in order, for listing and counting
======================== ======================================================================

A name and its user lie in different slots of a cluster, so that no script spans them. Creating is a
claim: take the name, list it, add the user. Deleting runs backwards: unlist the name, give it up,
remove the user with every session. A step that died half way leaves a claim without a user, which the
next creation takes over, or a user without a name, whom deleting again removes; ``fsck`` mends both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from session_service.domain.errors import InvalidCredentials, UsernameTaken
from session_service.domain.models import User, UserChange
from session_service.domain.policy import normalise_username
from session_service.storage import codec, keys
from session_service.storage.reads import Reads
from session_service.storage.scripts import Mutations, Script, load
from session_service.storage.sessions import BATCH, end_all

_CREATE: Final = load("create_user")
_CLAIM_NAME: Final = load("claim_name")
_DELETE_IF: Final = load("delete_if")
_SET_PASSWORD: Final = load("set_password")
_REPLACE_HASH: Final = load("replace_hash")
_SET_ROLES: Final = load("set_roles")
_SET_DISABLED: Final = load("set_disabled")
_DELETE: Final = load("delete_user")


class RedisUserReader:
    """Reads users from the primary; see ``domain.ports.UserReader``.

    Args:
        reads: the pipelined way to the primary.
    """

    __slots__ = ("_reads",)

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def get(self, user_id: str) -> User | None:
        """The user of this id."""
        key = keys.user(user_id)
        [fields] = await self._reads.read(key, ("HMGET", key, *codec.USER_FIELDS))
        return codec.decode_user(fields)

    async def find(self, username: str) -> User | None:
        """The user of this name, in any case."""
        normalised = normalise_username(username)
        holder = await self.holder(normalised)
        # A free name costs the same reads as one that is taken, so that time does not tell (ASVS 6.3.8).
        user = await self.get(holder or "")
        # A claim that outlived a failed creation may name somebody else's id.
        return user if user and normalise_username(user.username) == normalised else None

    async def holder(self, normalised: str) -> str | None:
        """The user id that a normalised name is claimed for, whether or not there is such a user."""
        claim = await self.claim(normalised)
        return None if claim is None else codec.claimant(claim)

    async def claim(self, normalised: str) -> str | None:
        """The claim itself, as it is stored."""
        key = keys.username(normalised)
        [claim] = await self._reads.read(key, ("GET", key))
        return None if claim is None else claim.decode()

    async def list_users(self, after: str, limit: int) -> Sequence[User]:
        """Up to ``limit`` users in order of normalised name, from after that name on."""
        users: list[User] = []
        after = normalise_username(after)
        while len(users) < limit:
            wanted = limit - len(users)
            names = await self._names(after, wanted)
            found = await asyncio.gather(*map(self.find, names))
            users += [user for user in found if user]
            if len(names) < wanted:
                break
            after = names[-1]
        return users

    async def _names(self, after: str, limit: int) -> list[str]:
        start = f"({after}" if after else "-"
        [names] = await self._reads.read(
            keys.USERNAMES, ("ZRANGEBYLEX", keys.USERNAMES, start, "+", "LIMIT", 0, limit)
        )
        return [name.decode() for name in names]

    async def count(self) -> int:
        """How many users there are."""
        [count] = await self._reads.read(keys.USERNAMES, ("ZCARD", keys.USERNAMES))
        return int(count)


class RedisUserWriter:
    """Changes users, in one script with their sessions; see ``domain.ports.UserWriter``.

    Args:
        mutations: runs the scripts.
        reader: reads what names are claimed for.
    """

    __slots__ = ("_mutations", "_reader")

    def __init__(self, mutations: Mutations, reader: RedisUserReader) -> None:
        self._mutations = mutations
        self._reader = reader

    async def create(self, user: User) -> User:
        """Add a user; ``created_ms`` is set by the store.

        Raises:
            UsernameTaken: the name, or the id, belongs to someone.
        """
        if await self._reader.get(user.user_id):
            raise UsernameTaken
        normalised = normalise_username(user.username)
        await self._claim(normalised, user.user_id)
        await self._mutations.command("ZADD", keys.USERNAMES, 0, normalised)
        created = await self._add(user)
        if not created:
            await self._withdraw(normalised, user.user_id)
            raise UsernameTaken
        await self._confirm(normalised, user.user_id)
        return replace(user, created_ms=created)

    async def _claim(self, normalised: str, user_id: str) -> None:
        """Take a name that is free, or whose holder never came to be or has another name.

        Not for good: as long as the user is not there, a claim is anyone's to clear away.
        """
        mine = codec.provisional(user_id)
        claim = await self._take_name(normalised, mine)
        holder = codec.claimant(claim)
        if holder == user_id:
            return
        there = await self._reader.get(holder)
        if there and normalise_username(there.username) == normalised:
            raise UsernameTaken
        # Fails where the holder has come to be since: its claim is another one by now.
        if await self._take_name(normalised, mine, instead_of=claim) != mine:
            raise UsernameTaken

    async def _take_name(self, normalised: str, claim: str, instead_of: str = "") -> str:
        """Leave a claim where there is none, or the one expected; the claim that stands now."""
        now = await self._mutations.run(_CLAIM_NAME, [keys.username(normalised)], claim, instead_of)
        return str(now.decode())

    async def _add(self, user: User) -> int:
        created = await self._mutations.run(
            _CREATE,
            [keys.user(user.user_id)],
            user.user_id,
            user.username,
            user.password_hash,
            codec.encode_roles(user.roles),
            int(user.disabled),
        )
        return int(created)

    async def _withdraw(self, normalised: str, user_id: str) -> None:
        """Give a name up again after the id turned out to be in use under another name."""
        there = await self._reader.get(user_id)
        if there and normalise_username(there.username) != normalised:
            await self._give_up_name(normalised, user_id)

    async def _confirm(self, normalised: str, user_id: str) -> None:
        """Make the claim one for good, unless it was cleared away before the user was there."""
        if await self._take_name(normalised, user_id, codec.provisional(user_id)) != user_id:
            await self._remove(user_id)
            raise UsernameTaken

    async def _give_up_name(self, normalised: str, user_id: str) -> None:
        # Unlisted first and only by its holder, so that nobody who takes the name next is unlisted.
        claim = await self._reader.claim(normalised)
        if claim is not None and codec.claimant(claim) == user_id:
            await self._mutations.command("ZREM", keys.USERNAMES, normalised)
            await self._mutations.run(_DELETE_IF, [keys.username(normalised)], claim)

    async def set_password(
        self,
        user_id: str,
        password_hash: str,
        *,
        expected: str | None = None,
        end_sessions: bool,
        keep: str | None = None,
    ) -> UserChange | None:
        """Replace the password hash and end the sessions, all or all but ``keep``, if asked.

        Raises:
            InvalidCredentials: ``expected`` is given and is not the user's hash any more.
        """
        return await self._change(
            _SET_PASSWORD,
            user_id,
            password_hash,
            int(end_sessions),
            keep or "",
            keys.session_prefix(user_id),
            keys.token_prefix(user_id),
            BATCH,
            expected or "",
            keep=keep,
        )

    async def replace_hash(self, user_id: str, old: str, new: str) -> bool:
        """Swap the hash of the same password for a stronger one; ``False`` if it changed."""
        return bool(await self._mutations.run(_REPLACE_HASH, [keys.user(user_id)], old, new))

    async def set_roles(self, user_id: str, roles: Sequence[str]) -> UserChange | None:
        """Set the roles, in the user and in every live session."""
        touched = [keys.user(user_id), keys.session_index(user_id)]
        fixed = (codec.encode_roles(roles), keys.session_prefix(user_id), BATCH)
        done, cursor, score, fields = 0, b"", b"", None
        while not done:
            reply = await self._mutations.run(_SET_ROLES, touched, *fixed, cursor, score)
            if reply is None:
                return None
            done, cursor, score, *fields = reply
        return _change(fields, 0)

    async def set_disabled(self, user_id: str, disabled: bool) -> UserChange | None:
        """Disable (and end every session) or enable the user (ASVS 7.4.2)."""
        return await self._change(
            _SET_DISABLED,
            user_id,
            int(disabled),
            keys.session_prefix(user_id),
            keys.token_prefix(user_id),
            BATCH,
        )

    async def delete(self, user_id: str) -> UserChange | None:
        """Remove the user, the name and every session."""
        user = await self._reader.get(user_id)
        if user is None:
            return None
        await self._give_up_name(normalise_username(user.username), user_id)
        return await self._remove(user_id)

    async def _remove(self, user_id: str) -> UserChange | None:
        return await self._change(
            _DELETE, user_id, keys.session_prefix(user_id), keys.token_prefix(user_id), BATCH
        )

    async def _change(
        self, script: Script, user_id: str, *args: str | int, keep: str | None = None
    ) -> UserChange | None:
        """Run a script that changes a user and ends sessions, then end those beyond its batch."""
        touched = [keys.user(user_id), keys.session_index(user_id), keys.user_devices(user_id)]
        reply = await self._mutations.run(script, touched, *args)
        if reply is None:
            return None
        if reply == [b"changed"]:
            raise InvalidCredentials
        ended, left, *fields = reply
        if left:
            ended += await end_all(self._mutations, user_id, keep)
        return _change(fields, ended)


def _change(fields: Any, ended: int) -> UserChange | None:  # noqa: ANN401 - as decode_user takes it
    user = codec.decode_user(fields)
    return UserChange(user, ended) if user else None
