"""Histories find what they are for: each bug that is planted into the real code is found by them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import pytest
from session_client import _memory, _sharing_aio, _sharing_threads, _watching
from session_client._sharing_aio import AsyncSharedChecks
from session_client._sharing_threads import SharedChecks

from session_service.domain.near_cache import NearCache
from session_service.storage.tracking import Tracking
from tests.support import RedisBinary
from tests.support.histories.faults import EVERYWHERE, Fault
from tests.support.histories.rounds import Rounds
from tests.support.histories.world import world_in_process

SEEDS = range(1, 1_501, 100)
"""Of the rounds that have to be enough for every bug. Where nothing else runs, the first few are: a busy
machine leaves few of their calls answered in time, and fewer that could be stale."""

AT_ONCE = 8

Patch = pytest.MonkeyPatch


def register_after_reading(patch: Patch) -> None:
    """Server: no place is taken before a read is sent, so what overtakes its answer is told to nobody."""
    register, follow = Tracking.register, Tracking.follow
    names: dict[Any, tuple[bytes, ...]] = {}
    patch.setattr(Tracking, "register", lambda _, watch, keys: names.__setitem__(watch, keys))

    def register_and_follow(self: Tracking, watch: Any, link: Any) -> None:
        register(self, watch, names.pop(watch))
        follow(self, watch, link)

    patch.setattr(Tracking, "follow", register_and_follow)


def keep_answers_of_a_lost_link(patch: Patch) -> None:
    """Server: nobody is told that a connection to Redis was lost."""
    patch.setattr(Tracking, "lost", lambda self, link: self._links.discard(link))


def pong_before_redis_has_confirmed(patch: Patch) -> None:
    """Server: a pong is sent at once."""

    async def at_once(_: Tracking) -> None:
        pass

    patch.setattr(Tracking, "caught_up", at_once)


def overlook_a_flush(patch: Patch) -> None:
    """Server: that all keys are invalid is taken for none."""
    invalidated = Tracking.invalidated
    patch.setattr(Tracking, "invalidated", lambda self, link, keys: invalidated(self, link, keys or []))


def serve_however_stale(patch: Patch) -> None:
    """Server: an answer is served from memory whatever bound was asked for."""
    get = NearCache.get
    patch.setattr(NearCache, "get", lambda self, token_id, _: get(self, token_id, 60.0))


def keep_answers_of_a_lost_stream(patch: Patch) -> None:
    """SDK: what was remembered survives the end of the stream over which changes are told."""
    patch.setattr(_memory.Memory, "clear", lambda _: None)


def ignore_invalidated(patch: Patch) -> None:
    """SDK: ``invalidated`` is not listened to."""
    patch.setattr(_watching.Watching, "_invalidated", lambda *_: None)


def ignore_valid_for(patch: Patch) -> None:
    """SDK: an answer is remembered for ever."""
    entry = _memory.Entry
    patch.setattr(_watching, "Entry", lambda number, identity, _, touch: entry(number, identity, inf, touch))


def trust_a_pong_from_when_it_came(patch: Patch) -> None:
    """SDK: freshness counts from the arrival of the pong, and not from the sending of its ping."""
    heard = _watching.Watching.heard

    def hear(self: Any, message: Any, now: float) -> None:
        if message.HasField("pong"):
            self._ping_sent_at = now
        heard(self, message, now)

    patch.setattr(_watching.Watching, "heard", hear)


def join_a_call_that_is_out(patch: Patch) -> None:
    """SDK: a strict check joins another of the same token whose call has left."""
    verify = AsyncSharedChecks.verify
    out: dict[str, asyncio.Future[Any]] = {}

    async def join(self: AsyncSharedChecks, token: str, timeout: float | None) -> Any:
        if token not in out:
            out[token] = asyncio.ensure_future(verify(self, token, timeout))
            out[token].add_done_callback(lambda _: out.pop(token))
        return await asyncio.shield(out[token])

    patch.setattr(AsyncSharedChecks, "verify", join)


def answer_who_came_after_the_call_left(patch: Patch) -> None:
    """SDK: what a call told is given to those as well who began to wait when it was out."""
    found_aio, settle = AsyncSharedChecks._found, SharedChecks._settle

    async def found_for_more(self: AsyncSharedChecks, call: Any) -> Any:
        found = await found_aio(self, call)
        for check in self._sharing.waiting:
            if check.token in found:
                check.settle(found[check.token])
        return found

    def settle_more(self: SharedChecks, leader: Any, found: Any) -> None:
        with self._lock:
            for check in self._sharing.waiting:
                if check.token in found:
                    check.settle(found[check.token])
            settle(self, leader, found)

    patch.setattr(AsyncSharedChecks, "_found", found_for_more)
    patch.setattr(SharedChecks, "_settle", settle_more)
    for half in (_sharing_aio, _sharing_threads):
        patch.setattr(half, "LONGEST_WAIT", 0.1)


@dataclass(frozen=True)
class Bug:
    """A bug, what has to break for it to show, and in which ways of checking it does."""

    plant: Callable[[Patch], None]
    shows: tuple[str, ...]
    broken: Sequence[Fault] = ()
    token_expire: int = 1800


def again(what: str, seconds: float, *moments: float) -> list[Fault]:
    """The same fault at several moments."""
    return [Fault(at, what, seconds) for at in moments]


# Answers are late, and ends are acknowledged meanwhile: to those past this wire.
LATE_ANSWERS = [Fault(0.0, "wire to the service is slow", 0.8, seed=3)]

BUGS = (
    Bug(
        register_after_reading,
        ("memory", "sdk", "threads"),
        again("wire to Redis stalls towards its client", 0.02, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4),
    ),
    Bug(keep_answers_of_a_lost_link, ("sdk", "threads"), again("CLIENT KILL", 0, 0.2)),
    Bug(
        pong_before_redis_has_confirmed,
        ("sdk", "threads"),
        again("Redis's word of changes stalls", 0.35, 0.15),
    ),
    Bug(overlook_a_flush, ("sdk", "threads"), again("FLUSHALL", 0, 0.3)),
    Bug(serve_however_stale, ("memory",), again("Redis's word of changes stalls", 0.35, 0.15)),
    Bug(keep_answers_of_a_lost_stream, ("sdk", "threads"), again("wire to the service is cut", 0, 0.2)),
    Bug(ignore_invalidated, ("sdk", "threads")),
    Bug(ignore_valid_for, ("sdk", "threads"), token_expire=1),
    Bug(join_a_call_that_is_out, ("shared strict",), LATE_ANSWERS),
    Bug(answer_who_came_after_the_call_left, ("shared",), LATE_ANSWERS),
    Bug(trust_a_pong_from_when_it_came, ("sdk", "threads"), again("wire to the service is slow", 0.5, 0.05)),
)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.plant.__name__)
async def test_a_planted_bug_is_found(
    bug: Bug, one_binary: RedisBinary, tmp_path: Path, monkeypatch: Patch
) -> None:
    """Within fifteen rounds an accept is found that the promise rules out, in a way that the bug concerns."""
    bug.plant(monkeypatch)
    async with world_in_process(one_binary, tmp_path, token_expire=bug.token_expire) as world:
        rounds = Rounds(world, EVERYWHERE, AT_ONCE)
        for seed in SEEDS:
            found = await rounds.run(seed, bug.broken)
            late = [each for each in found if each.why.startswith("accepted")]
            if any(way in each.call.by for each in late for way in bug.shows):
                return
    pytest.fail(f"not found:\n{rounds.summary.text()}")


async def test_without_a_bug_nothing_is_found(one_binary: RedisBinary, tmp_path: Path) -> None:
    """The same histories under the same faults, and the code as it is."""
    async with world_in_process(one_binary, tmp_path) as world:
        rounds = Rounds(world, EVERYWHERE, AT_ONCE)
        for seed, broken in zip(SEEDS, {bug.plant: bug.broken for bug in BUGS}.values(), strict=False):
            await rounds.run(seed, broken)
    assert not rounds.summary.violations, rounds.summary.text()
