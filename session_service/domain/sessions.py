"""Seeing and ending sessions: a user's own devices, and operators for any user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from session_service.domain.errors import SessionNotFound
from session_service.domain.events import Action, Actor, AuditEvent
from session_service.domain.models import Session
from session_service.domain.policy import PageCursor, newest_first
from session_service.domain.ports import AuditLog, SessionReader, SessionWriter
from session_service.domain.trail import told_of
from session_service.domain.validation import Checker
from session_service.domain.wholeness import whole


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Some of a user's sessions, newest activity first, and how many there are in all."""

    sessions: Sequence[Session]
    next_page_token: str
    total_size: int


class Sessions:
    """Lists and ends the sessions of a user; who may ask is the caller's concern."""

    def __init__(self, reader: SessionReader, writer: SessionWriter, audit: AuditLog) -> None:
        self._reader = reader
        self._writer = writer
        self._audit = audit

    async def page(self, user_id: str, page_size: int, page_token: str) -> SessionPage:
        """One page of live sessions.

        Args:
            user_id: whose.
            page_size: 0 to 100; 0 = 20.
            page_token: ``next_page_token`` of the page before, or empty.

        Raises:
            InvalidArgument: a field is wrong.
        """
        check = Checker()
        size = check.page_size("page_size", page_size)
        after = check.page_token("page_token", page_token)
        check.done()
        activity = await self._reader.activity(user_id)
        rest = newest_first(activity, after)
        chosen = rest[:size]
        sessions = await self._reader.fetch(user_id, [sid for sid, _ in chosen])
        more = PageCursor(chosen[-1][1], chosen[-1][0]).encode() if len(rest) > size else ""
        return SessionPage(sessions, more, len(activity))

    async def end(self, user_id: str, session_id: str, action: Action, actor: Actor) -> None:
        """End one session of this user.

        Raises:
            InvalidArgument: the session id is malformed.
            SessionNotFound: the user has no such live session; another user's looks the same.
        """
        check = Checker()
        check.session_id("session_id", session_id)
        check.done()
        if not await whole(self._end(user_id, session_id, action, actor)):
            raise SessionNotFound

    async def end_all(self, user_id: str, actor: Actor, keep: str | None = None) -> int:
        """End every session of this user but ``keep``; returns how many ended."""
        return await whole(self._end_all(user_id, actor, keep))

    async def _end(self, user_id: str, session_id: str, action: Action, actor: Actor) -> bool:
        event = AuditEvent(action, user_id, session_id, actor, 1)
        with told_of(self._audit, event):
            ended = await self._writer.end(user_id, session_id)
        if ended:
            self._audit.record(event)
        return ended

    async def _end_all(self, user_id: str, actor: Actor, keep: str | None) -> int:
        event = AuditEvent(Action.LOGOUT_ALL, user_id, actor=actor)
        with told_of(self._audit, event):
            count = await self._writer.end_all(user_id, keep)
        self._audit.record(replace(event, count=count))
        return count
