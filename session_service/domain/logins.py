"""Logging in: by password, by the word of a trusted service, by refresh token."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from session_service.domain.errors import (
    InvalidCredentials,
    Overloaded,
    RefreshTokenInvalid,
    RefreshTokenReused,
    TooManyAttempts,
)
from session_service.domain.events import Action, Actor, AuditEvent
from session_service.domain.grants import Grants
from session_service.domain.models import (
    NO_DEVICE,
    CreatedSession,
    Device,
    NewSession,
    RefreshClaims,
    Rotation,
    RotationRefused,
    TokenGrant,
    User,
)
from session_service.domain.policy import device_fingerprint, new_id, normalise_username
from session_service.domain.ports import (
    AuditLog,
    PasswordHasher,
    RefreshTokens,
    SessionReader,
    SessionWriter,
    UserReader,
    UserWriter,
)
from session_service.domain.throttling import LoginAttempt, LoginThrottle
from session_service.domain.trail import told_of
from session_service.domain.validation import Checker
from session_service.domain.wholeness import whole

# No user has this id.
_NOBODY = ""


@dataclass(frozen=True, slots=True)
class PasswordLogin:
    """A login by name and password.

    Args:
        username: as typed.
        password: as typed, 1 to 256 characters.
        device: what the client says of itself.
        ip_address: the true client address, or empty where it is not known.
        request_id: makes a repetition within a minute the same session; empty = none.
    """

    username: str
    password: str = field(repr=False)
    device: Device = NO_DEVICE
    ip_address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class TrustedLogin:
    """A login that a trusted service has proven elsewhere (SSO, say).

    The user need not be in the directory; one who is must not be disabled.
    """

    user_id: str
    username: str
    roles: tuple[str, ...] = ()
    device: Device = NO_DEVICE
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The answer to a login: the tokens, whose session it is, and whether the device is new."""

    grant: TokenGrant
    user: User
    new_device: bool


class Logins:
    """Opens sessions and renews their tokens."""

    def __init__(
        self,
        *,
        users: UserReader,
        directory: UserWriter,
        hasher: PasswordHasher,
        throttle: LoginThrottle,
        reader: SessionReader,
        sessions: SessionWriter,
        refresh_tokens: RefreshTokens,
        grants: Grants,
        audit: AuditLog,
    ) -> None:
        self._users = users
        self._directory = directory
        self._hasher = hasher
        self._throttle = throttle
        self._reader = reader
        self._sessions = sessions
        self._refresh_tokens = refresh_tokens
        self._grants = grants
        self._audit = audit

    async def login(self, request: PasswordLogin) -> LoggedIn:
        """Log a user in by password.

        Raises:
            InvalidArgument: a field is wrong.
            InvalidCredentials: wrong name or password, unknown or disabled user: one answer,
                one cost (ASVS 6.3.8).
            TooManyAttempts: throttled, whether or not the user exists.
            Overloaded: the hashing queue is full.
            SessionLimitReached: the policy is ``reject`` and there is no room.
            SessionEnded: the repeated ``request_id``'s session has ended since.
        """
        self._check_password_login(request)
        user = await self._users.find(request.username)
        attempt = await self._attempt(request, user)
        await self._take(attempt, user)
        try:
            user = await self._authenticate(request, user)
        except Overloaded:
            await self._throttle.give_back(attempt)
            raise
        await self._throttle.succeeded(attempt)
        new = NewSession(
            session_id=new_id(),
            token_id=new_id(),
            user_id=user.user_id,
            username=user.username,
            roles=user.roles,
            device=request.device,
            fingerprint=device_fingerprint(request.device),
            ip_address=request.ip_address,
            request_id=request.request_id,
            password_hash=user.password_hash,
        )
        actor = Actor(f"user:{user.user_id}", request.ip_address)
        return self._answer(user, await whole(self._create(new, Action.LOGIN, actor)))

    async def create_session(self, request: TrustedLogin, actor: Actor) -> LoggedIn:
        """Open a session on the word of a trusted service; answers as a login does.

        Raises:
            InvalidArgument: a field is wrong.
            InvalidCredentials: the user is in the directory and disabled.
            SessionLimitReached: the policy is ``reject`` and there is no room.
            SessionEnded: the repeated ``request_id``'s session has ended since.
        """
        check = Checker()
        check.user_id("user_id", request.user_id)
        check.username("username", request.username)
        check.roles("roles", request.roles)
        check.device("device", request.device)
        check.request_id("request_id", request.request_id)
        check.done()
        new = NewSession(
            session_id=new_id(),
            token_id=new_id(),
            user_id=request.user_id,
            username=request.username,
            roles=request.roles,
            device=request.device,
            fingerprint=device_fingerprint(request.device),
            ip_address=request.device.ip_address,
            request_id=request.request_id,
        )
        created = await whole(self._create(new, Action.SESSION_CREATED, actor))
        user = await self._users.get(request.user_id) or User(
            request.user_id, request.username, request.roles, disabled=False, created_ms=0
        )
        return self._answer(user, created)

    async def refresh(self, refresh_token: str, ip_address: str) -> TokenGrant:
        """Trade a refresh token for its successor and a new access token.

        The spent token within the grace gets the same successor again (two tabs, a lost reply).

        Raises:
            RefreshTokenInvalid: forged, or its session has ended.
            RefreshTokenReused: spent before; the session has been ended (RFC 9700 §4.14.2).
        """
        claims = self._refresh_tokens.verify(refresh_token)
        rotation = await whole(self._rotate(claims, ip_address))
        return self._grants.issue(claims.user_id, claims.session_id, rotation)

    def _check_password_login(self, request: PasswordLogin) -> None:
        check = Checker()
        check.username("username", request.username)
        check.login_password("password", request.password)
        check.device("device", request.device)
        check.request_id("request_id", request.request_id)
        check.done()

    async def _attempt(self, request: PasswordLogin, user: User | None) -> LoginAttempt:
        """Where the attempt comes from; the same reads for an unknown user as for a known."""
        known = await self._reader.knows_device(
            user.user_id if user else _NOBODY, device_fingerprint(request.device)
        )
        named_device = bool(request.device.device_id)
        name = normalise_username(request.username)
        return LoginAttempt(name, request.ip_address, known and named_device)

    async def _take(self, attempt: LoginAttempt, user: User | None) -> None:
        try:
            await self._throttle.take(attempt)
        except TooManyAttempts:
            self._record(Action.LOGIN_THROTTLED, user, attempt.ip_address)
            raise

    async def _authenticate(self, request: PasswordLogin, user: User | None) -> User:
        """The user whose password this is, with the hash to rely on from here."""
        usable = user if user and not user.disabled else None
        stored = usable.password_hash if usable else None
        kept = await self._hasher.verify(request.password, stored)
        if usable is None or kept is None or stored is None:
            self._record(Action.LOGIN_FAILED, user, request.ip_address)
            raise InvalidCredentials
        if kept == stored:
            return usable
        if await whole(self._directory.replace_hash(usable.user_id, stored, kept)):
            return replace(usable, password_hash=kept)
        # Another login of his kept its stronger hash first, or he was changed: what is there now decides.
        return await self._authenticate(request, await self._users.get(usable.user_id))

    async def _create(self, new: NewSession, action: Action, actor: Actor) -> CreatedSession:
        event = AuditEvent(action, new.user_id, new.session_id, actor)
        with told_of(self._audit, event):
            created = await self._sessions.create(new)
        if not created.repeated:
            self._audit.record(replace(event, detail="new_device" if created.new_device else ""))
        for evicted in created.evicted:
            self._audit.record(AuditEvent(Action.EVICT, new.user_id, evicted, actor))
        return created

    async def _rotate(self, claims: RefreshClaims, ip_address: str) -> Rotation:
        actor = Actor(f"user:{claims.user_id}", ip_address)
        event = AuditEvent(Action.REFRESH, claims.user_id, claims.session_id, actor)
        with told_of(self._audit, event):
            rotation = await self._sessions.rotate(
                claims.user_id, claims.session_id, claims.generation, new_id()
            )
        if rotation is RotationRefused.REUSED:
            self._audit.record(replace(event, action=Action.REFRESH_REUSED, count=1))
            raise RefreshTokenReused
        if rotation is RotationRefused.ENDED:
            raise RefreshTokenInvalid
        if not rotation.repeated:
            self._audit.record(event)
        return rotation

    def _answer(self, user: User, created: CreatedSession) -> LoggedIn:
        shown = User(user.user_id, created.username, created.roles, user.disabled, user.created_ms)
        grant = self._grants.issue(user.user_id, created.session_id, created)
        return LoggedIn(grant, shown, created.new_device)

    def _record(self, action: Action, user: User | None, ip_address: str) -> None:
        user_id = user.user_id if user else ""
        self._audit.record(AuditEvent(action, user_id, actor=Actor(ip_address=ip_address)))
