"""What a check reads of a token and its session, and what the replies say."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import hiredis

from session_service.domain.models import AccessClaims, LiveState
from session_service.domain.ports import State
from session_service.storage import codec, keys
from session_service.storage.reads import Group, Outcome

LIVE_FIELDS: Final = ("username", "roles", "last_active", "expires_at")
"""What a check reads of a session."""


def live_state(owner: bytes | None, fields: Sequence[bytes | None]) -> LiveState | None:
    """What a token's key and the ``LIVE_FIELDS`` of a session say; ``None`` if there is no session."""
    username, roles, active, expires = fields
    if active is None or expires is None:
        return None
    # Written out, and roles looked up, because it is done at every check.
    return LiveState(
        None if owner is None else owner.decode(),
        username.decode() if username else "",
        _roles(roles),
        int(active),
        int(expires),
    )


_roles = lru_cache(maxsize=1_024)(codec.decode_roles)


def _reading(user_id: str, session_id: str, token_id: str) -> Group:
    key = keys.session(user_id, session_id)
    return key, (("GET", keys.token(user_id, token_id)), ("HMGET", key, *LIVE_FIELDS))


class _Question:
    """What is read of a token and its session, kept with its claims; a ``reads.Question``.

    The state is kept with the replies that said it, and is given again only for equal ones.
    """

    __slots__ = ("_claims", "_replies", "_state", "packed")

    def __init__(self, user_id: str, session_id: str, token_id: str) -> None:
        self._claims = user_id, session_id, token_id
        self.packed = b"".join(hiredis.pack_command(command) for command in self.group[1])  # type: ignore[arg-type]
        self._replies: Outcome = []
        self._state: LiveState | None = None

    @property
    def group(self) -> Group:
        """The commands with their key; made anew, as most are only ever sent packed."""
        return _reading(*self._claims)

    def state(self, outcome: Outcome) -> State:
        """What the replies say."""
        if outcome == self._replies:
            return self._state
        found = _state_or_error(outcome)
        if isinstance(found, LiveState):
            self._state, self._replies = found, outcome
        return found


def question(claims: AccessClaims) -> _Question:
    """What is asked of a token, made once for its claims."""
    memory = claims.memory
    if isinstance(memory.question, _Question):
        return memory.question
    memory.question = made = _Question(claims.user_id, claims.session_id, claims.token_id)
    return made


def _state_or_error(outcome: Outcome) -> State:
    if isinstance(outcome, Exception):
        return outcome
    try:
        return live_state(*outcome)
    except Exception as error:  # noqa: BLE001 - a session that makes no sense is no reason to doubt the others
        return error
