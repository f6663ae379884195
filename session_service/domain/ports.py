"""What the use-cases need from the other packages.

Absence is ``None`` (or ``False``); an exception means failure. Every method that reaches the
store raises ``StoreUnavailable`` where the store cannot answer, and repeating a call is safe:
each has the effect of one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from session_service.domain.events import AuditEvent
from session_service.domain.models import (
    AccessClaims,
    CreatedSession,
    LiveState,
    NewSession,
    RefreshClaims,
    Rotation,
    RotationRefused,
    Session,
    Stats,
    SweepReport,
    User,
    UserChange,
)

State: TypeAlias = LiveState | Exception | None
"""What a store says of a session and one of its tokens, or why it says nothing; ``None``: not alive."""

OnStates: TypeAlias = Callable[[Sequence[int], Sequence[State]], None]
"""Takes the states of some tokens: their places among those that were asked for, and each state."""


class Clock(Protocol):
    """The wall clock; read in one place, passed everywhere."""

    def __call__(self) -> float:
        """Seconds since the Unix epoch."""


class AccessTokens(Protocol):
    """Signs and verifies access tokens; knows nothing of live sessions."""

    def issue(self, claims: AccessClaims) -> str:
        """The signed token; equal claims may give equal tokens."""

    def verify(self, token: str) -> AccessClaims:
        """The claims of a token of ours that has not expired.

        Raises:
            TokenInvalid: malformed, forged, or not an access token for this audience.
            TokenExpired: good, but past its ``exp``.
        """


class RefreshTokens(Protocol):
    """Makes and authenticates refresh tokens; a generation's token is always the same."""

    def issue(self, claims: RefreshClaims) -> str:
        """The token of this generation."""

    def verify(self, token: str) -> RefreshClaims:
        """What an authentic token says.

        Raises:
            RefreshTokenInvalid: malformed or forged.
        """


class SessionReader(Protocol):
    """Reads sessions; strict, from the primary."""

    def read(self, claims: AccessClaims) -> Awaitable[State]:
        """The session of a token as it is after this call; never raises."""

    async def read_all(self, claims: Sequence[AccessClaims]) -> Sequence[State]:
        """For each token, in order, what ``read`` gives; in one round trip, and never raises."""

    def ask(self, claims: Sequence[AccessClaims], on_states: OnStates) -> None:
        """As ``read_all``, apart for each part of the store, so that none waits for another.

        Args:
            claims: of the tokens; ``memory.question`` is this method's to keep.
            on_states: called as they become known, until each place had its state; must not raise. A state
                that says the same as the one before for these claims is the same object.
        """

    async def activity(self, user_id: str) -> Sequence[tuple[str, int]]:
        """``(session_id, last_active_ms)`` of each live session, in no order."""

    async def fetch(self, user_id: str, session_ids: Sequence[str]) -> Sequence[Session]:
        """These sessions in this order, without those that ended meanwhile."""

    async def knows_device(self, user_id: str, fingerprint: str) -> bool:
        """Whether the user has logged in with this device within the last 180 days."""


class SessionWriter(Protocol):
    """Changes sessions; each change is one atomic step."""

    async def create(self, new: NewSession) -> CreatedSession:
        """Create a session with its first token and its index entry, within the limit.

        Raises:
            InvalidCredentials: the directory user is gone, disabled, or (where
                ``new.password_hash`` is given) has another password by now.
            SessionLimitReached: the user has as many as allowed and the policy is ``reject``.
            SessionEnded: ``new.request_id`` repeats a creation whose session has ended since.
        """

    async def touch(self, user_id: str, session_id: str) -> None:
        """Note activity and put off idle expiry; does nothing to a session that is gone."""

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

    async def end(self, user_id: str, session_id: str) -> bool:
        """End one session; ``False`` if it was not alive."""

    async def end_all(self, user_id: str, keep: str | None = None) -> int:
        """End the user's sessions, all or all but ``keep``; how many were alive."""


class UserReader(Protocol):
    """Reads the directory of users."""

    async def get(self, user_id: str) -> User | None:
        """The user of this id."""

    async def find(self, username: str) -> User | None:
        """The user of this name, in any case."""

    async def list_users(self, after: str, limit: int) -> Sequence[User]:
        """Up to ``limit`` users in order of normalised name, from after that name on."""

    async def count(self) -> int:
        """How many users there are."""


class UserWriter(Protocol):
    """Changes the directory; what touches a user's sessions too is one atomic step with them."""

    async def create(self, user: User) -> User:
        """Add a user; ``created_ms`` is set by the store.

        Raises:
            UsernameTaken: the name, or the id, belongs to someone.
        """

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

    async def replace_hash(self, user_id: str, old: str, new: str) -> bool:
        """Swap the hash of the same password for a stronger one; ``False`` if it changed."""

    async def set_roles(self, user_id: str, roles: Sequence[str]) -> UserChange | None:
        """Set the roles, in the user and in every live session."""

    async def set_disabled(self, user_id: str, disabled: bool) -> UserChange | None:
        """Disable (and end every session) or enable the user."""

    async def delete(self, user_id: str) -> UserChange | None:
        """Remove the user, the name and every session."""


class Counter(NamedTuple):
    """Attempts of one kind on one subject, and how many there may be in a window."""

    scope: str
    subject: str
    limit: int


class AttemptStore(Protocol):
    """Counts attempts in fixed windows."""

    async def take(self, counters: Sequence[Counter], window_seconds: int) -> int:
        """Count one attempt on each, up to the first that is full; 0 if none is, else milliseconds to wait.

        Counting on one and judging it are one step, so that parallel guesses cannot pass its limit.
        """

    async def give_back(self, counters: Sequence[Counter], *, clear_first: bool = False) -> None:
        """Uncount one attempt on each: it turned out not to be a failure.

        Args:
            counters: at least one.
            clear_first: forget all attempts of the first instead.
        """


class PasswordHasher(Protocol):
    """Hashes and verifies passwords in bounded time and space."""

    async def hash(self, password: str) -> str:
        """The password under the current parameters.

        Raises:
            Overloaded: the queue is full.
        """

    async def verify(self, password: str, password_hash: str | None) -> str | None:
        """The hash to keep if the password is right, else ``None``.

        It differs from ``password_hash`` when the parameters have changed since. No hash (an
        unknown user) costs the same time and is ``None``.

        Raises:
            Overloaded: the queue is full.
        """

    def recognises(self, password_hash: str) -> bool:
        """Whether this is a hash, from here or elsewhere, that can be verified."""


class AuditLog(Protocol):
    """Keeps who did what; never in the way of the change it tells of."""

    def record(self, event: AuditEvent) -> None:
        """Take an event; it is written soon, and once the store is back if it is away."""


class Upkeep(Protocol):
    """Keeps the index true and the totals at hand."""

    async def sweep(self) -> SweepReport:
        """Remove index entries without a session, in bounded steps, and count the rest."""

    async def stats(self) -> Stats:
        """The totals, without a scan."""
