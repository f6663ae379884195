"""Finds where keys contradict each other, and mends it if asked.

The scripts leave none of this behind. It comes from outside: a restored backup, keys deleted by hand,
memory eviction, a cluster that lost a node, a creation or deletion of a user that died half way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from redis.asyncio import Redis

from session_service.domain.policy import normalise_username
from session_service.storage import keys
from session_service.storage.indexes import Indexes
from session_service.storage.reads import Reads
from session_service.storage.scanning import Call, Connections, Progress, run_each, scan
from session_service.storage.scripts import Mutations, Script, load
from session_service.storage.users import RedisUserReader

_CHECK_SESSION: Final = load("check_session")
_CHECK_INDEX: Final = load("check_index")
_CHECK_TOKEN: Final = load("check_token")
_CLAIM_NAME: Final = load("claim_name")
_DELETE_IF: Final = load("delete_if")
_PAGE: Final = 200


@dataclass(slots=True)
class FsckReport:
    """What was looked at, and how many of each kind are wrong.

    Args:
        sessions: sessions looked at.
        entries: index entries looked at.
        tokens: access tokens' keys looked at.
        users: users looked at.
        tokens_left_over: tokens' keys whose session is gone; harmless, they live out their time.
        sessions_unindexed: sessions that their user's index does not have.
        sessions_endless: sessions without an expiry.
        entries_dead: index entries without a session.
        indexes_endless: indexes without an expiry.
        tokens_endless: access tokens' keys without an expiry.
        users_unnamed: users whose name nobody claims.
        users_renamed: users whose name another user has; only deleting one of them mends it.
        names_unlisted: users whose name is not in the list of names.
        names_unclaimed: names in the list that nobody claims.
        claims_dead: names claimed for a user who is not there or has another name.
    """

    sessions: int = 0
    entries: int = 0
    tokens: int = 0
    users: int = 0
    tokens_left_over: int = 0
    sessions_unindexed: int = 0
    sessions_endless: int = 0
    entries_dead: int = 0
    indexes_endless: int = 0
    tokens_endless: int = 0
    users_unnamed: int = 0
    users_renamed: int = 0
    names_unlisted: int = 0
    names_unclaimed: int = 0
    claims_dead: int = 0

    @property
    def wrong(self) -> dict[str, int]:
        """What is wrong, by kind, without what is not."""
        counts = {each.name: getattr(self, each.name) for each in fields(self)[_FIRST_FINDING:]}
        return {name: count for name, count in counts.items() if count}

    def left(self, *, repaired: bool) -> int:
        """How much of it is wrong still; a repair mends all but users whose name another user has."""
        return self.users_renamed if repaired else sum(self.wrong.values())


_FIRST_FINDING: Final = [each.name for each in fields(FsckReport)].index("sessions_unindexed")


class RedisFsck:
    """Checks all of Redis.

    Args:
        connections: for the primaries to scan, and for reading.
        mutations: mends names.
    """

    def __init__(self, connections: Connections, mutations: Mutations) -> None:
        self._connections = connections
        self._mutations = mutations

    async def run(self, *, repair: bool = False, progress: Progress | None = None) -> FsckReport:
        """Look at every key, in bounded steps.

        Args:
            repair: mend what is found.
            progress: told what is being looked at and how many were, between steps.

        Raises:
            StoreUnavailable: Redis cannot answer.
        """
        check = _Check(self._connections.reads, self._mutations, repair)
        steps: list[tuple[str, str, _Step]] = [
            ("sessions", keys.ANY_SESSION, check.sessions),
            ("indexes", keys.ANY_SESSION_INDEX, check.indexes),
            ("tokens", keys.ANY_TOKEN, check.tokens),
            ("users", keys.ANY_USER, check.users),
            ("names", keys.ANY_USERNAME, check.claims),
        ]
        for name, pattern, step in steps:
            seen = 0
            async for primary in self._connections.primaries():
                async for page in scan(primary, pattern):
                    await step(primary, page)
                    seen += len(page)
                    if progress:
                        await progress(name, seen)
        await check.listed_names()
        return check.report


_Step = Callable[[Redis, list[str]], Awaitable[None]]


class _Check:
    """One run: a method per kind of key, each fed page by page."""

    def __init__(self, reads: Reads, mutations: Mutations, repair: bool) -> None:
        self.report = FsckReport()
        self._reads = reads
        self._users = RedisUserReader(reads)
        self._mutations = mutations
        self._repair = repair

    async def sessions(self, primary: Redis, page: list[str]) -> None:
        """Is each in its index, and does it end?"""
        calls = [
            Call([key, keys.session_index(keys.owner(key))], [keys.last_part(key), int(self._repair)])
            for key in page
        ]
        unindexed, endless = await _sums(primary, _CHECK_SESSION, calls)
        self.report.sessions += len(page)
        self.report.sessions_unindexed += unindexed
        self.report.sessions_endless += endless

    async def indexes(self, primary: Redis, page: list[str]) -> None:
        """Has each entry its session, and does the index end?"""
        count = await Indexes(primary, remove=self._repair).count(page)
        [endless] = await _sums(primary, _CHECK_INDEX, [Call([key], [int(self._repair)]) for key in page])
        self.report.entries += count.live + count.dead
        self.report.entries_dead += count.dead
        self.report.indexes_endless += endless

    async def tokens(self, primary: Redis, page: list[str]) -> None:
        """Has each its session, and does it end?"""
        calls = [Call([key], [keys.session_prefix(keys.owner(key)), int(self._repair)]) for key in page]
        left_over, endless = await _sums(primary, _CHECK_TOKEN, calls)
        self.report.tokens += len(page)
        self.report.tokens_left_over += left_over
        self.report.tokens_endless += endless

    async def users(self, _primary: Redis, page: list[str]) -> None:
        """Has each the name it goes by, and is that name listed?"""
        await asyncio.gather(*(self._user(keys.owner(key)) for key in page))

    async def _user(self, user_id: str) -> None:
        user = await self._users.get(user_id)
        if user is None:
            return
        self.report.users += 1
        normalised = normalise_username(user.username)
        holder = await self._users.holder(normalised)
        if holder not in {None, user_id}:
            self.report.users_renamed += 1
            return
        if holder is None:
            self.report.users_unnamed += 1
            if self._repair:
                await self._mutations.run(_CLAIM_NAME, [keys.username(normalised)], user_id, "")
        [score] = await self._reads.read(keys.USERNAMES, ("ZSCORE", keys.USERNAMES, normalised))
        if score is None:
            self.report.names_unlisted += 1
            if self._repair:
                await self._mutations.command("ZADD", keys.USERNAMES, 0, normalised)

    async def claims(self, _primary: Redis, page: list[str]) -> None:
        """Is each name that of the user it is claimed for?"""
        await asyncio.gather(*(self._claim(keys.claimed_name(key)) for key in page))

    async def _claim(self, normalised: str) -> None:
        claim = await self._users.claim(normalised)
        if claim is None or await self._users.find(normalised):
            return
        self.report.claims_dead += 1
        if self._repair:
            await self._mutations.run(_DELETE_IF, [keys.username(normalised)], claim)

    async def listed_names(self) -> None:
        """Is each listed name claimed? After ``claims``, so that names given up there are unlisted."""
        after = "-"
        while True:
            [names] = await self._reads.read(
                keys.USERNAMES, ("ZRANGEBYLEX", keys.USERNAMES, after, "+", "LIMIT", 0, _PAGE)
            )
            await asyncio.gather(*(self._listed(name.decode()) for name in names))
            if len(names) < _PAGE:
                return
            after = f"({names[-1].decode()}"

    async def _listed(self, normalised: str) -> None:
        if await self._users.holder(normalised) is None:
            self.report.names_unclaimed += 1
            if self._repair:
                await self._mutations.command("ZREM", keys.USERNAMES, normalised)


async def _sums(primary: Redis, script: Script, calls: Sequence[Call]) -> list[int]:
    """Run a script for each call and add its replies up, number by number."""
    replies: list[Any] = [reply for reply in await run_each(primary, script, calls) if reply is not None]
    rows = [reply if isinstance(reply, list) else [reply] for reply in replies]
    return [sum(column) for column in zip(*rows, strict=True)]
