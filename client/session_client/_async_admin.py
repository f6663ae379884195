"""The client of AdminService: users and sessions, for operators and trusted services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import grpc
from session_api.v1 import admin_service_pb2 as pb
from session_api.v1.admin_service_pb2_grpc import AdminServiceStub

from session_client._async_calls import AsyncCalls, each
from session_client._conversions import (
    login_of,
    session_page,
    stats_of,
    sweep_of,
    user_of,
    user_page,
)
from session_client._requests import Metadata, device_message, new_request_id, request, role_names
from session_client._results import Device, Login, Page, Session, Stats, Sweep, User, UserChange


class AsyncAdmin:
    """Administers users and their sessions; part of an ``AsyncSessionClient``, never made alone.

    Every method may raise ``AdminRequired``, and what ``AsyncSessionClient`` names for all of its
    own; those that name a user raise ``UserNotFound`` unless they say otherwise.
    """

    def __init__(self, channel: grpc.aio.Channel, calls: AsyncCalls, credential: Metadata) -> None:
        self._stub = AdminServiceStub(channel)
        self._calls = calls
        self._credential = credential

    async def create_user(
        self,
        username: str,
        password: str,
        *,
        roles: Iterable[str] = (),
        user_id: str = "",
        timeout: float | None = None,
    ) -> User:
        """Create a user who logs in by a password.

        Args:
            username: 1 to 128 characters, unique without case.
            password: 8 to 256 characters, taken exactly as they are.
            roles: at most 32.
            user_id: where one was given elsewhere; made by the service by default.
            timeout: see ``AsyncSessionClient``.

        Raises:
            UsernameTaken: the name or the id is in use.
            InvalidArgument: a field breaks its limits, or the password is a common one.
            Overloaded: too many passwords are being hashed at this moment.
        """
        message = request(
            pb.CreateUserRequest,
            username=username,
            password=password,
            roles=role_names(roles),
            user_id=user_id,
        )
        return await self._create(message, timeout)

    async def import_user(
        self,
        username: str,
        password_hash: str,
        *,
        roles: Iterable[str] = (),
        user_id: str = "",
        timeout: float | None = None,
    ) -> User:
        """Create a user with the hash of a password, brought from elsewhere.

        Args:
            username: 1 to 128 characters, unique without case.
            password_hash: argon2, bcrypt, scrypt or PBKDF2 as passlib writes them, or Django's.
            roles: at most 32.
            user_id: where one was given elsewhere; made by the service by default.
            timeout: see ``AsyncSessionClient``.

        Raises:
            UsernameTaken: the name or the id is in use.
            InvalidArgument: a field breaks its limits, or the hash is of no known kind.
        """
        message = request(
            pb.CreateUserRequest,
            username=username,
            password_hash=password_hash,
            roles=role_names(roles),
            user_id=user_id,
        )
        return await self._create(message, timeout)

    async def _create(self, message: pb.CreateUserRequest, timeout: float | None) -> User:
        answer = await self._calls.write(self._stub.CreateUser, message, self._credential, timeout)
        return user_of(answer.user)

    async def get_user(self, user_id: str, *, timeout: float | None = None) -> User:
        """Look up a user by id."""
        return await self._get(request(pb.GetUserRequest, user_id=user_id), timeout)

    async def get_user_by_name(self, username: str, *, timeout: float | None = None) -> User:
        """Look up a user by name, without case."""
        return await self._get(request(pb.GetUserRequest, username=username), timeout)

    async def _get(self, message: pb.GetUserRequest, timeout: float | None) -> User:
        answer = await self._calls.read(self._stub.GetUser, message, self._credential, timeout)
        return user_of(answer.user)

    async def list_users(
        self, *, page_size: int = 0, page_token: str = "", timeout: float | None = None
    ) -> Page[User]:
        """One page of all users, ordered by name.

        Args:
            page_size: 1 to 100; 0 stands for 20.
            page_token: ``next_page_token`` of the page before; empty for the first.
            timeout: see ``AsyncSessionClient``.
        """
        message = request(pb.ListUsersRequest, page_size=page_size, page_token=page_token)
        answer = await self._calls.read(self._stub.ListUsers, message, self._credential, timeout)
        return user_page(answer)

    def iter_users(self, *, timeout: float | None = None) -> AsyncIterator[User]:
        """All users, fetched page by page; ``timeout`` holds for each page."""
        return each(lambda token: self.list_users(page_size=100, page_token=token, timeout=timeout))

    async def set_password(
        self, user_id: str, password: str, *, keep_sessions: bool = False, timeout: float | None = None
    ) -> int:
        """Set a user's password without knowing the current one, and end the user's sessions.

        Args:
            user_id: whose.
            password: 8 to 256 characters, taken exactly as they are.
            keep_sessions: leave them alive.
            timeout: see ``AsyncSessionClient``.

        Returns:
            How many sessions were ended.

        Raises:
            InvalidArgument: the password breaks its limits or is a common one.
            Overloaded: too many passwords are being hashed at this moment.
        """
        message = request(
            pb.SetPasswordRequest, user_id=user_id, password=password, keep_sessions=keep_sessions
        )
        answer = await self._calls.write(self._stub.SetPassword, message, self._credential, timeout)
        return answer.revoked_count

    async def set_user_roles(
        self, user_id: str, roles: Iterable[str], *, timeout: float | None = None
    ) -> User:
        """Replace a user's roles, in the user's live sessions too; at most 32, none takes all away."""
        message = request(pb.SetUserRolesRequest, user_id=user_id, roles=role_names(roles))
        answer = await self._calls.write(self._stub.SetUserRoles, message, self._credential, timeout)
        return user_of(answer.user)

    async def set_user_disabled(
        self, user_id: str, *, disabled: bool, timeout: float | None = None
    ) -> UserChange:
        """Disable a user, which ends the user's sessions and refuses logins; or enable the user again."""
        message = request(pb.SetUserDisabledRequest, user_id=user_id, disabled=disabled)
        answer = await self._calls.write(self._stub.SetUserDisabled, message, self._credential, timeout)
        return UserChange(user_of(answer.user), answer.revoked_count)

    async def delete_user(self, user_id: str, *, timeout: float | None = None) -> int:
        """Delete a user, whose name is free again; returns how many sessions were ended."""
        message = request(pb.DeleteUserRequest, user_id=user_id)
        answer = await self._calls.write(self._stub.DeleteUser, message, self._credential, timeout)
        return answer.revoked_count

    async def list_user_sessions(
        self, user_id: str, *, page_size: int = 0, page_token: str = "", timeout: float | None = None
    ) -> Page[Session]:
        """One page of a user's live sessions, the most recently used first.

        A user whom the directory does not know and who has no sessions has an empty list.

        Args:
            user_id: whose.
            page_size: 1 to 100; 0 stands for 20.
            page_token: ``next_page_token`` of the page before; empty for the first.
            timeout: see ``AsyncSessionClient``.
        """
        message = request(
            pb.ListUserSessionsRequest, user_id=user_id, page_size=page_size, page_token=page_token
        )
        answer = await self._calls.read(self._stub.ListUserSessions, message, self._credential, timeout)
        return session_page(answer)

    def iter_user_sessions(self, user_id: str, *, timeout: float | None = None) -> AsyncIterator[Session]:
        """All live sessions of a user, fetched page by page; ``timeout`` holds for each page."""
        return each(
            lambda token: self.list_user_sessions(user_id, page_size=100, page_token=token, timeout=timeout)
        )

    async def revoke_user_session(
        self, user_id: str, session_id: str, *, timeout: float | None = None
    ) -> None:
        """End one session of a user.

        Raises:
            SessionNotFound: the user has no live session of that id.
        """
        message = request(pb.RevokeUserSessionRequest, user_id=user_id, session_id=session_id)
        await self._calls.write(self._stub.RevokeUserSession, message, self._credential, timeout)

    async def revoke_user_sessions(self, user_id: str, *, timeout: float | None = None) -> int:
        """Force a user, known or not, out everywhere; returns how many sessions were ended."""
        message = request(pb.RevokeUserSessionsRequest, user_id=user_id)
        answer = await self._calls.write(self._stub.RevokeUserSessions, message, self._credential, timeout)
        return answer.revoked_count

    async def create_session(
        self,
        user_id: str,
        username: str,
        *,
        roles: Iterable[str] = (),
        device: Device | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Login:
        """Begin a session for a login that was proven elsewhere, by single sign-on say.

        Args:
            user_id: need not be in the directory.
            username: for people to read; the directory's takes its place.
            roles: at most 32; the directory's take their place.
            device: what is known of the device the user logs in from.
            request_id: a repetition for the same user within a minute gives the same session; made
                anew for each call where it is not given.
            timeout: see ``AsyncSessionClient``.

        Raises:
            InvalidCredentials: the user is in the directory and disabled.
            SessionLimitReached: the user has too many sessions, and none may be evicted.
            SessionEnded: the session begun under this ``request_id`` has ended since.
        """
        message = request(
            pb.CreateSessionRequest,
            user_id=user_id,
            username=username,
            roles=role_names(roles),
            device=device_message(device or Device()),
            request_id=request_id or new_request_id(),
        )
        answer = await self._calls.write(self._stub.CreateSession, message, self._credential, timeout)
        return login_of(answer)

    async def get_stats(self, *, timeout: float | None = None) -> Stats:
        """The service's figures. Cheap, so it may be polled."""
        answer = await self._calls.read(self._stub.GetStats, pb.GetStatsRequest(), self._credential, timeout)
        return stats_of(answer)

    async def clean_up_sessions(self, *, timeout: float = 60.0) -> Sweep:
        """Remove index entries of expired sessions now; the service does so by itself in time.

        Answers with zeros where such a sweep is already running.
        """
        message = pb.CleanUpSessionsRequest()
        answer = await self._calls.write(self._stub.CleanUpSessions, message, self._credential, timeout)
        return sweep_of(answer)
