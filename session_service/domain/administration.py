"""The directory of users: what operators do, and a user's own change of password."""

from __future__ import annotations

from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from session_service.domain.errors import InvalidCredentials, Overloaded, TooManyAttempts, UserNotFound
from session_service.domain.events import Action, Actor, AuditEvent
from session_service.domain.models import Identity, User, UserChange
from session_service.domain.policy import encode_cursor, new_id, normalise_username
from session_service.domain.ports import AuditLog, PasswordHasher, UserReader, UserWriter
from session_service.domain.throttling import LoginAttempt, LoginThrottle
from session_service.domain.trail import told_of
from session_service.domain.validation import Checker
from session_service.domain.wholeness import whole


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to be added, with a password or with its hash brought from elsewhere.

    Args:
        username: 1 to 128 characters; unique without regard to case.
        password: 8 to 256 characters; empty if ``password_hash`` is given.
        password_hash: argon2, bcrypt, scrypt, PBKDF2 or Django's; empty if not imported.
        roles: at most 32.
        user_id: the id it had elsewhere; empty = a new one.
    """

    username: str
    password: str = field(default="", repr=False)
    password_hash: str = field(default="", repr=False)
    roles: tuple[str, ...] = ()
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class UserPage:
    """Some users in order of name, and how many there are in all."""

    users: Sequence[User]
    next_page_token: str
    total_size: int


class Administration:
    """Adds, changes and removes users.

    Args:
        users: reads the directory.
        directory: changes it.
        hasher: hashes new passwords.
        throttle: holds the guessing of a current password.
        audit: told of every act.
        common_passwords: lower-cased passwords to refuse.
    """

    def __init__(
        self,
        *,
        users: UserReader,
        directory: UserWriter,
        hasher: PasswordHasher,
        throttle: LoginThrottle,
        audit: AuditLog,
        common_passwords: Collection[str] = frozenset(),
    ) -> None:
        self._users = users
        self._directory = directory
        self._hasher = hasher
        self._throttle = throttle
        self._audit = audit
        self._common = common_passwords

    async def create_user(self, new: NewUser, actor: Actor) -> User:
        """Add a user.

        Raises:
            InvalidArgument: a field is wrong.
            UsernameTaken: the name, or the given id, belongs to someone.
            Overloaded: the hashing queue is full.
        """
        self._check_new_user(new)
        password_hash = new.password_hash or await self._hasher.hash(new.password)
        user = User(
            user_id=new.user_id or new_id(),
            username=new.username,
            roles=new.roles,
            disabled=False,
            created_ms=0,
            password_hash=password_hash,
        )
        return await whole(self._create(user, actor))

    async def get_user(self, *, user_id: str = "", username: str = "") -> User:
        """The user of this id or, if the id is empty, of this name.

        Raises:
            InvalidArgument: neither or a malformed one is given.
            UserNotFound: there is none.
        """
        check = Checker()
        if username and not user_id:
            check.username("username", username)
        else:
            check.user_id("user_id", user_id)
        check.done()
        user = await (self._users.get(user_id) if user_id else self._users.find(username))
        if user is None:
            raise UserNotFound
        return user

    async def list_users(self, page_size: int, page_token: str) -> UserPage:
        """One page of users in order of name.

        Args:
            page_size: 0 to 100; 0 = 20.
            page_token: the ``next_page_token`` of the page before, or empty.
        """
        check = Checker()
        size = check.page_size("page_size", page_size)
        after = check.user_page_token("page_token", page_token)
        check.done()
        users = await self._users.list_users(after, size + 1)
        last = normalise_username(users[size - 1].username) if len(users) > size else ""
        more = encode_cursor("user", last) if last else ""
        return UserPage(users[:size], more, await self._users.count())

    async def set_password(self, user_id: str, password: str, *, keep_sessions: bool, actor: Actor) -> int:
        """Set a user's password; returns how many sessions that ended.

        Raises:
            InvalidArgument: a field is wrong.
            UserNotFound: there is none.
        """
        check = Checker()
        check.user_id("user_id", user_id)
        check.new_password("password", password, self._common)
        check.done()
        password_hash = await self._hasher.hash(password)
        change = self._directory.set_password(user_id, password_hash, end_sessions=not keep_sessions)
        return (
            await self._change(change, AuditEvent(Action.USER_PASSWORD_SET, user_id, actor=actor))
        ).ended_count

    async def change_password(
        self,
        identity: Identity,
        current: str,
        new: str,
        *,
        keep_other_sessions: bool,
        ip_address: str,
    ) -> int:
        """A user's own change of password (ASVS 6.2.2, 6.2.3, 7.4.3).

        The caller's session lives on; the others end unless kept.

        Raises:
            InvalidArgument: a field is wrong.
            InvalidCredentials: the current password is wrong, or was changed meanwhile.
            TooManyAttempts: too many wrong current passwords.
            UserNotFound: the user is not in the directory.
        """
        check = Checker()
        check.login_password("current_password", current)
        check.new_password("new_password", new, self._common)
        check.done()
        user = await self.get_user(user_id=identity.user_id)
        actor = Actor(f"user:{user.user_id}", ip_address)
        await self._confirm(user, current, identity.session_id, actor)
        password_hash = await self._hasher.hash(new)
        change = self._directory.set_password(
            user.user_id,
            password_hash,
            expected=user.password_hash,
            end_sessions=not keep_other_sessions,
            keep=identity.session_id,
        )
        return (
            await self._change(change, AuditEvent(Action.PASSWORD_CHANGED, user.user_id, actor=actor))
        ).ended_count

    async def _confirm(self, user: User, password: str, session_id: str, actor: Actor) -> None:
        """Ask for the password within a session: throttled and recorded as a login is (ASVS 16.3.1)."""
        attempt = LoginAttempt(normalise_username(user.username), actor.ip_address, session_id=session_id)
        try:
            await self._throttle.take(attempt)
            if await self._hasher.verify(password, user.password_hash) is None:
                raise InvalidCredentials
        except Overloaded:
            await self._throttle.give_back(attempt)
            raise
        except (InvalidCredentials, TooManyAttempts) as refusal:
            failed = isinstance(refusal, InvalidCredentials)
            action = Action.LOGIN_FAILED if failed else Action.LOGIN_THROTTLED
            self._audit.record(AuditEvent(action, user.user_id, session_id, actor, detail="password_change"))
            raise
        await self._throttle.succeeded(attempt)

    async def set_roles(self, user_id: str, roles: Sequence[str], actor: Actor) -> User:
        """Set a user's roles; live sessions follow in the same step.

        Raises:
            InvalidArgument: a field is wrong.
            UserNotFound: there is none.
        """
        check = Checker()
        check.user_id("user_id", user_id)
        check.roles("roles", roles)
        check.done()
        change = self._directory.set_roles(user_id, tuple(dict.fromkeys(roles)))
        return (await self._change(change, AuditEvent(Action.USER_ROLES_SET, user_id, actor=actor))).user

    async def set_disabled(self, user_id: str, disabled: bool, actor: Actor) -> UserChange:
        """Disable a user, which ends every session (ASVS 7.4.2), or enable him again.

        Raises:
            InvalidArgument: the id is malformed.
            UserNotFound: there is none.
        """
        self._check_user_id(user_id)
        action = Action.USER_DISABLED if disabled else Action.USER_ENABLED
        return await self._change(
            self._directory.set_disabled(user_id, disabled), AuditEvent(action, user_id, actor=actor)
        )

    async def delete_user(self, user_id: str, actor: Actor) -> int:
        """Remove a user, the name and every session; returns how many sessions that ended.

        Raises:
            InvalidArgument: the id is malformed.
            UserNotFound: there is none.
        """
        self._check_user_id(user_id)
        change = self._directory.delete(user_id)
        return (await self._change(change, AuditEvent(Action.USER_DELETED, user_id, actor=actor))).ended_count

    def _check_user_id(self, user_id: str) -> None:
        check = Checker()
        check.user_id("user_id", user_id)
        check.done()

    def _check_new_user(self, new: NewUser) -> None:
        check = Checker()
        check.username("username", new.username)
        check.roles("roles", new.roles)
        if new.user_id:
            check.user_id("user_id", new.user_id)
        if not new.password_hash:
            check.new_password("password", new.password, self._common)
        elif new.password or not self._hasher.recognises(new.password_hash):
            check.wrong("password_hash", "must be a supported hash, in place of a password")
        check.done()

    async def _create(self, user: User, actor: Actor) -> User:
        event = AuditEvent(Action.USER_CREATED, user.user_id, actor=actor)
        with told_of(self._audit, event):
            created = await self._directory.create(user)
        self._audit.record(event)
        return created

    async def _change(self, change: Coroutine[Any, Any, UserChange | None], event: AuditEvent) -> UserChange:
        return await whole(self._recorded(change, event))

    async def _recorded(
        self, change: Coroutine[Any, Any, UserChange | None], event: AuditEvent
    ) -> UserChange:
        with told_of(self._audit, event):
            changed = await change
        if changed is None:
            raise UserNotFound
        self._audit.record(replace(event, count=changed.ended_count))
        return changed
