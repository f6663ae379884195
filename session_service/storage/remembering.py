"""Notes which sessions were ended, around what ends them; see ``replay``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from session_service.domain.errors import StoreUnavailable
from session_service.domain.models import RotationRefused
from session_service.storage import keys
from session_service.storage.replay import REMEMBERED

if TYPE_CHECKING:
    from session_service.domain.models import CreatedSession, NewSession, Rotation, User, UserChange
    from session_service.domain.ports import SessionWriter, UserWriter
    from session_service.storage.reads import Reads
    from session_service.storage.replay import RecentEnds


class LiveSessions:
    """Tells which sessions of a user an end of all will end.

    Args:
        reads: the way to the primary.
    """

    __slots__ = ("_reads",)

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def of(self, user_id: str, keep: str | None = None) -> Collection[str]:
        """The ids in the user's index, but for ``keep``; the newest where there are too many."""
        index = keys.session_index(user_id)
        [members] = await self._reads.read(index, ("ZREVRANGE", index, 0, REMEMBERED - 1))
        return {member.decode() for member in members} - {keep}


@contextmanager
def _in_doubt(ends: RecentEnds, user_id: str, session_ids: Collection[str]) -> Iterator[None]:
    """Remember the sessions also if the answer is lost: a repetition finds none to end, and says done."""
    try:
        yield
    except StoreUnavailable as fault:
        if fault.maybe_done:
            ends.note(user_id, session_ids)
        raise


class RememberingSessionWriter:
    """A ``SessionWriter`` whose ends are remembered.

    Args:
        writer: changes sessions.
        live: names those that go together.
        ends: remembers.
    """

    def __init__(self, writer: SessionWriter, live: LiveSessions, ends: RecentEnds) -> None:
        self._writer = writer
        self._live = live
        self._ends = ends

    async def create(self, new: NewSession) -> CreatedSession:
        """Create a session; what it evicts is remembered."""
        created = await self._writer.create(new)
        self._ends.note(new.user_id, created.evicted)
        return created

    async def touch(self, user_id: str, session_id: str) -> None:
        """Note activity."""
        await self._writer.touch(user_id, session_id)

    async def rotate(
        self, user_id: str, session_id: str, generation: int, token_id: str
    ) -> Rotation | RotationRefused:
        """Accept or refuse a refresh token; a session that ends by its reuse is remembered."""
        outcome = await self._writer.rotate(user_id, session_id, generation, token_id)
        if outcome is RotationRefused.REUSED:
            self._ends.note(user_id, [session_id])
        return outcome

    async def end(self, user_id: str, session_id: str) -> bool:
        """End one session."""
        with _in_doubt(self._ends, user_id, [session_id]):
            ended = await self._writer.end(user_id, session_id)
        self._ends.note(user_id, [session_id])
        return ended

    async def end_all(self, user_id: str, keep: str | None = None) -> int:
        """End the user's sessions."""
        live = await self._live.of(user_id, keep)
        with _in_doubt(self._ends, user_id, live):
            ended = await self._writer.end_all(user_id, keep)
        self._ends.note(user_id, live)
        return ended


class RememberingUserWriter:
    """A ``UserWriter`` that remembers the sessions that end with its changes.

    Args:
        writer: changes users.
        live: names the sessions that go with them.
        ends: remembers.
    """

    def __init__(self, writer: UserWriter, live: LiveSessions, ends: RecentEnds) -> None:
        self._writer = writer
        self._live = live
        self._ends = ends

    async def create(self, user: User) -> User:
        """Add a user."""
        return await self._writer.create(user)

    async def set_password(
        self,
        user_id: str,
        password_hash: str,
        *,
        expected: str | None = None,
        end_sessions: bool,
        keep: str | None = None,
    ) -> UserChange | None:
        """Replace the password hash."""
        live = await self._live.of(user_id, keep) if end_sessions else ()
        with _in_doubt(self._ends, user_id, live):
            change = await self._writer.set_password(
                user_id, password_hash, expected=expected, end_sessions=end_sessions, keep=keep
            )
        return self._noted(change, user_id, live)

    async def replace_hash(self, user_id: str, old: str, new: str) -> bool:
        """Swap the hash of the same password."""
        return await self._writer.replace_hash(user_id, old, new)

    async def set_roles(self, user_id: str, roles: Sequence[str]) -> UserChange | None:
        """Set the roles."""
        return await self._writer.set_roles(user_id, roles)

    async def set_disabled(self, user_id: str, disabled: bool) -> UserChange | None:
        """Disable or enable the user."""
        live = await self._live.of(user_id) if disabled else ()
        with _in_doubt(self._ends, user_id, live):
            change = await self._writer.set_disabled(user_id, disabled)
        return self._noted(change, user_id, live)

    async def delete(self, user_id: str) -> UserChange | None:
        """Remove the user."""
        live = await self._live.of(user_id)
        with _in_doubt(self._ends, user_id, live):
            change = await self._writer.delete(user_id)
        return self._noted(change, user_id, live)

    def _noted(self, change: UserChange | None, user_id: str, live: Collection[str]) -> UserChange | None:
        if change is not None:
            self._ends.note(user_id, live)
        return change
