"""``session.v1.AdminService``: operators and trusted services."""

from __future__ import annotations

from session_api.v1 import admin_service_pb2 as pb
from session_api.v1 import admin_service_pb2_grpc as pb_grpc

from session_service.domain.administration import Administration, NewUser
from session_service.domain.events import Action
from session_service.domain.logins import Logins, TrustedLogin
from session_service.domain.ports import Upkeep
from session_service.domain.sessions import Sessions
from session_service.domain.validation import Checker
from session_service.rpc import conversions
from session_service.rpc.admin_gate import AdminGate
from session_service.rpc.caller import Context


class AdminServicer(pb_grpc.AdminServiceServicer):
    """Translates each RPC into one use-case, once the gate has let the caller through."""

    def __init__(
        self,
        gate: AdminGate,
        administration: Administration,
        logins: Logins,
        sessions: Sessions,
        upkeep: Upkeep,
    ) -> None:
        self._gate = gate
        self._administration = administration
        self._logins = logins
        self._sessions = sessions
        self._upkeep = upkeep

    async def CreateUser(self, request: pb.CreateUserRequest, context: Context) -> pb.CreateUserResponse:
        """Add a user."""
        actor = await self._gate.admit(context)
        new = NewUser(
            username=request.username,
            password=request.password,
            password_hash=request.password_hash,
            roles=tuple(request.roles),
            user_id=request.user_id,
        )
        user = await self._administration.create_user(new, actor)
        return pb.CreateUserResponse(user=conversions.user_message(user))

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        """Show a user by id or by name."""
        await self._gate.admit(context)
        user = await self._administration.get_user(user_id=request.user_id, username=request.username)
        return pb.GetUserResponse(user=conversions.user_message(user))

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        """List users in order of name."""
        await self._gate.admit(context)
        page = await self._administration.list_users(request.page_size, request.page_token)
        return pb.ListUsersResponse(
            users=[conversions.user_message(user) for user in page.users],
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def SetPassword(self, request: pb.SetPasswordRequest, context: Context) -> pb.SetPasswordResponse:
        """Set a user's password; the sessions end unless kept."""
        actor = await self._gate.admit(context)
        count = await self._administration.set_password(
            request.user_id, request.password, keep_sessions=request.keep_sessions, actor=actor
        )
        return pb.SetPasswordResponse(revoked_count=count)

    async def SetUserRoles(
        self, request: pb.SetUserRolesRequest, context: Context
    ) -> pb.SetUserRolesResponse:
        """Set a user's roles; live sessions follow."""
        actor = await self._gate.admit(context)
        user = await self._administration.set_roles(request.user_id, request.roles, actor)
        return pb.SetUserRolesResponse(user=conversions.user_message(user))

    async def SetUserDisabled(
        self, request: pb.SetUserDisabledRequest, context: Context
    ) -> pb.SetUserDisabledResponse:
        """Disable a user, which ends the sessions, or enable him."""
        actor = await self._gate.admit(context)
        change = await self._administration.set_disabled(request.user_id, request.disabled, actor)
        return pb.SetUserDisabledResponse(
            user=conversions.user_message(change.user), revoked_count=change.ended_count
        )

    async def DeleteUser(self, request: pb.DeleteUserRequest, context: Context) -> pb.DeleteUserResponse:
        """Remove a user and the sessions."""
        actor = await self._gate.admit(context)
        count = await self._administration.delete_user(request.user_id, actor)
        return pb.DeleteUserResponse(revoked_count=count)

    async def ListUserSessions(
        self, request: pb.ListUserSessionsRequest, context: Context
    ) -> pb.ListUserSessionsResponse:
        """List a user's sessions, newest activity first."""
        await self._gate.admit(context)
        _check_user_id(request.user_id)
        page = await self._sessions.page(request.user_id, request.page_size, request.page_token)
        return pb.ListUserSessionsResponse(
            sessions=conversions.page_messages(page),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def RevokeUserSession(
        self, request: pb.RevokeUserSessionRequest, context: Context
    ) -> pb.RevokeUserSessionResponse:
        """End one session of a user."""
        actor = await self._gate.admit(context)
        _check_user_id(request.user_id)
        await self._sessions.end(request.user_id, request.session_id, Action.REVOKE, actor)
        return pb.RevokeUserSessionResponse()

    async def RevokeUserSessions(
        self, request: pb.RevokeUserSessionsRequest, context: Context
    ) -> pb.RevokeUserSessionsResponse:
        """Force a user out everywhere."""
        actor = await self._gate.admit(context)
        _check_user_id(request.user_id)
        count = await self._sessions.end_all(request.user_id, actor)
        return pb.RevokeUserSessionsResponse(revoked_count=count)

    async def CreateSession(
        self, request: pb.CreateSessionRequest, context: Context
    ) -> pb.CreateSessionResponse:
        """Open a session on the word of a trusted service."""
        actor = await self._gate.admit(context)
        login = TrustedLogin(
            user_id=request.user_id,
            username=request.username,
            roles=tuple(request.roles),
            device=conversions.device_of(request.device),
            request_id=request.request_id,
        )
        return conversions.created_message(await self._logins.create_session(login, actor))

    async def GetStats(self, request: pb.GetStatsRequest, context: Context) -> pb.GetStatsResponse:
        """Totals, without a scan."""
        await self._gate.admit(context)
        stats = await self._upkeep.stats()
        return pb.GetStatsResponse(
            active_sessions=stats.active_sessions,
            users=stats.users,
            counted_time=conversions.instant(stats.counted_ms) if stats.counted_ms else None,
            created_sessions=stats.created_sessions,
            ended_sessions=stats.ended_sessions,
        )

    async def CleanUpSessions(
        self,
        request: pb.CleanUpSessionsRequest,
        context: Context,
    ) -> pb.CleanUpSessionsResponse:
        """Sweep the index now."""
        await self._gate.admit(context)
        report = await self._upkeep.sweep()
        return pb.CleanUpSessionsResponse(scanned_entries=report.scanned, removed_entries=report.removed)


def _check_user_id(user_id: str) -> None:
    check = Checker()
    check.user_id("user_id", user_id)
    check.done()
