"""``session.v1.SessionService``: end users' own sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator

from session_api.v1 import session_service_pb2 as pb
from session_api.v1 import session_service_pb2_grpc as pb_grpc

from session_service.domain.administration import Administration
from session_service.domain.checks import TokenCheck
from session_service.domain.errors import SessionEnded, SessionNotFound
from session_service.domain.events import Action, Actor
from session_service.domain.logins import Logins, PasswordLogin
from session_service.domain.models import Identity
from session_service.domain.sessions import Sessions
from session_service.rpc import conversions
from session_service.rpc.caller import Callers, Context, bearer_token
from session_service.rpc.check_messages import batch_message, max_staleness_of, tokens_of
from session_service.rpc.token_streams import TokenStreams


class SessionServicer(pb_grpc.SessionServiceServicer):
    """Translates each RPC into one use-case; decides nothing itself."""

    def __init__(
        self,
        *,
        check: TokenCheck,
        streams: TokenStreams,
        logins: Logins,
        sessions: Sessions,
        administration: Administration,
        callers: Callers,
    ) -> None:
        self._check = check
        self._streams = streams
        self._logins = logins
        self._sessions = sessions
        self._administration = administration
        self._callers = callers

    async def Login(self, request: pb.LoginRequest, context: Context) -> pb.LoginResponse:
        """Log in by name and password."""
        device = conversions.device_of(request.device)
        login = PasswordLogin(
            username=request.username,
            password=request.password,
            device=device,
            ip_address=self._callers.login_address(context, device.ip_address),
            request_id=request.request_id,
        )
        return conversions.login_message(await self._logins.login(login))

    async def RefreshToken(
        self, request: pb.RefreshTokenRequest, context: Context
    ) -> pb.RefreshTokenResponse:
        """Trade a refresh token for its successor and a new access token."""
        address = self._callers.ip_address(context)
        grant = await self._logins.refresh(request.refresh_token, address)
        return conversions.refreshed_message(grant)

    async def VerifyToken(self, request: pb.VerifyTokenRequest, context: Context) -> pb.VerifyTokenResponse:
        """Check a token: signature and live session, as of now unless the caller says otherwise."""
        token = request.token or bearer_token(context)
        return conversions.verified_message(await self._check.check(token, max_staleness_of(request)))

    async def BatchVerifyTokens(
        self, request: pb.BatchVerifyTokensRequest, context: Context
    ) -> pb.BatchVerifyTokensResponse:
        """Check many tokens strictly, each with a result of its own."""
        return batch_message(await self._check.check_all(tokens_of(request)))

    async def WatchTokens(  # type: ignore[override]  # writes to its context instead of yielding
        self, request_iterator: AsyncIterator[pb.WatchTokensRequest], context: Context
    ) -> None:
        """Check tokens, and tell when the answers no longer hold."""
        await self._streams.serve(request_iterator, context)

    async def ListSessions(
        self, request: pb.ListSessionsRequest, context: Context
    ) -> pb.ListSessionsResponse:
        """List the caller's sessions, newest activity first."""
        caller = await self._caller(context)
        page = await self._sessions.page(caller.user_id, request.page_size, request.page_token)
        return pb.ListSessionsResponse(
            sessions=conversions.page_messages(page, caller.session_id),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def Logout(self, request: pb.LogoutRequest, context: Context) -> pb.LogoutResponse:
        """End the caller's session."""
        caller = await self._caller(context)
        actor = self._actor(caller, context)
        try:
            await self._sessions.end(caller.user_id, caller.session_id, Action.LOGOUT, actor)
        except SessionNotFound:
            raise SessionEnded from None
        return pb.LogoutResponse()

    async def LogoutAll(self, request: pb.LogoutAllRequest, context: Context) -> pb.LogoutAllResponse:
        """End the caller's sessions, all or all but this one."""
        caller = await self._caller(context)
        keep = caller.session_id if request.keep_current else None
        count = await self._sessions.end_all(caller.user_id, self._actor(caller, context), keep)
        return pb.LogoutAllResponse(revoked_count=count)

    async def RevokeSession(
        self, request: pb.RevokeSessionRequest, context: Context
    ) -> pb.RevokeSessionResponse:
        """End one of the caller's sessions."""
        caller = await self._caller(context)
        actor = self._actor(caller, context)
        await self._sessions.end(caller.user_id, request.session_id, Action.REVOKE, actor)
        return pb.RevokeSessionResponse()

    async def ChangePassword(
        self, request: pb.ChangePasswordRequest, context: Context
    ) -> pb.ChangePasswordResponse:
        """Change the caller's password; the other sessions end unless kept."""
        caller = await self._caller(context)
        count = await self._administration.change_password(
            caller,
            request.current_password,
            request.new_password,
            keep_other_sessions=request.keep_other_sessions,
            ip_address=self._callers.ip_address(context),
        )
        return pb.ChangePasswordResponse(revoked_count=count)

    async def _caller(self, context: Context) -> Identity:
        """Whose access token came with the call, checked strictly."""
        return await self._check.check(bearer_token(context))

    def _actor(self, caller: Identity, context: Context) -> Actor:
        return Actor(f"user:{caller.user_id}", self._callers.ip_address(context))
