"""The client of SessionService; ``admin`` leads to AdminService over the same connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Self

from session_api.v1 import session_service_pb2 as pb
from session_api.v1.session_service_pb2_grpc import SessionServiceStub

from session_client._async_admin import AsyncAdmin
from session_client._async_calls import AsyncCalls, each
from session_client._batches import batches, outcomes, refused, token_list
from session_client._channel import Timeouts, Tls, open_async_channel
from session_client._conversions import identity_of, login_of, session_page, tokens_of
from session_client._errors import SessionClientError, SessionEnded
from session_client._requests import (
    bearer,
    checked_access_token,
    checked_refresh_token,
    device_message,
    new_request_id,
    request,
    service_credential,
    staleness_message,
)
from session_client._results import Device, Identity, Login, Page, Session, Tokens
from session_client._sharing_aio import AsyncSharedChecks


class AsyncSessionClient:
    """Logs users in, checks their tokens, lists and ends their sessions.

    Make one for the whole process, inside the event loop that uses it, and keep it: it holds the
    connections. Calls are spread over all addresses of the target. Calls that change nothing, and
    changes whose repetition has the effect of one, are repeated where the service is unavailable
    for a moment; other changes never are.

    Every method takes ``timeout``, the seconds it may take in all instead of the client's default,
    and may raise any of ``ServiceUnavailable``, ``DeadlineExceeded``, ``InvalidArgument`` and
    ``SessionClientError`` besides what its own documentation names.

    Args:
        target: where the service is, as gRPC names it: ``dns:///sessions.internal:50051``,
            ``ipv4:10.0.0.1:50051,10.0.0.2:50051``, ``unix:/run/sessions.sock``.
        tls: how the connection is secured; without it, it is not.
        service_key: shown for logins, so that the service believes ``Device.ip_address``, and for
            everything in ``admin``.
        timeouts: the defaults of all calls.
        share_calls: let strict checks that are under way at once share calls, of BatchVerifyTokens; without
            it, each ``verify_token`` is a call of its own.

    Raises:
        OSError: a file of ``tls`` cannot be read.
        ValueError: a file of ``tls`` is not PEM, or the service key has characters that cannot be sent.
    """

    def __init__(
        self,
        target: str,
        *,
        tls: Tls | None = None,
        service_key: str | None = None,
        timeouts: Timeouts | None = None,
        share_calls: bool = True,
    ) -> None:
        self._service_credential = service_credential(service_key)
        channel = open_async_channel(target, tls)
        self._calls = AsyncCalls(channel, timeouts or Timeouts())
        self._stub = SessionServiceStub(channel)
        self._channel = channel
        self._checks = AsyncSharedChecks(self._stub, self._calls, is_on=share_calls)
        self.admin = AsyncAdmin(channel, self._calls, self._service_credential)

    def admin_as(self, access_token: str) -> AsyncAdmin:
        """AdminService in the name of a user with the role ``admin``, by that user's access token.

        Raises:
            TokenInvalid: the token has characters that no token has.
        """
        return AsyncAdmin(self._channel, self._calls, bearer(access_token))

    async def login(
        self,
        username: str,
        password: str,
        *,
        device: Device | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Login:
        """Prove a user's name and password and begin a session.

        Args:
            username: 1 to 128 characters, compared without case.
            password: exactly as the user gave it.
            device: what is known of the device the user logs in from.
            request_id: a repetition with the same one within a minute gives the same session;
                made anew for each call where it is not given.
            timeout: see the class.

        Raises:
            InvalidCredentials: wrong name or password, or the user is disabled.
            SessionLimitReached: the user has too many sessions, and none may be evicted.
            RateLimited: too many attempts, or too many logins at this moment.
            SessionEnded: the session begun under this ``request_id`` has ended since.
        """
        message = request(
            pb.LoginRequest,
            username=username,
            password=password,
            device=device_message(device or Device()),
            request_id=request_id or new_request_id(),
        )
        answer = await self._calls.write(self._stub.Login, message, self._service_credential, timeout)
        return login_of(answer)

    async def refresh_token(self, refresh_token: str, *, timeout: float | None = None) -> Tokens:
        """Exchange a refresh token for a new access token and the next refresh token.

        Raises:
            RefreshTokenInvalid: it is unknown, or its session is over.
            RefreshTokenReused: it had been used before, so the session was ended.
        """
        message = request(pb.RefreshTokenRequest, refresh_token=checked_refresh_token(refresh_token))
        answer = await self._calls.write(self._stub.RefreshToken, message, (), timeout)
        return tokens_of(answer)

    async def verify_token(
        self, access_token: str, *, max_staleness: float = 0.0, timeout: float | None = None
    ) -> Identity:
        """Check an access token: its signature and claims hold and its session is alive now.

        Only ``TokenError`` means "not logged in". ``ServiceUnavailable`` says nothing either way.
        Strict checks that are under way at once share calls: one that comes while others are out may wait for
        up to 5 ms, and is answered by a read that began after it.

        Args:
            access_token: whose session.
            max_staleness: seconds, up to 60, by which the answer may be out of date, so that the service
                may give it from memory; 0 = it asks its store.
            timeout: see the class.

        Raises:
            TokenMissing: it is empty.
            TokenInvalid: it is not one of this service's.
            TokenExpired: it is past its expiry.
            SessionEnded: its session is over.
        """
        token = checked_access_token(access_token)
        staleness = staleness_message(max_staleness)
        if staleness is None:
            return await self._checks.verify(token, timeout)
        message = pb.VerifyTokenRequest(token=token, max_staleness=staleness)
        return identity_of(await self._calls.read(self._stub.VerifyToken, message, (), timeout))

    async def verify_tokens(
        self, access_tokens: Iterable[str], *, timeout: float | None = None
    ) -> tuple[Identity | SessionClientError, ...]:
        """Check any number of access tokens, each as ``verify_token`` does, by 256 in a call.

        For whoever holds many connections open and looks again from time to time whether their users
        are still logged in. Only a ``TokenError`` means that one is not; any other error says nothing
        either way.

        Args:
            access_tokens: in any order; one may be there more than once.
            timeout: see the class; for each call.

        Returns:
            For each token, in order, its identity or the error that ``verify_token`` would have raised.
            Where a call fails as a whole, that is its failure for all tokens not answered by then.
        """
        tokens = token_list(access_tokens)
        known = refused(tokens)
        try:
            for batch in batches(dict.fromkeys(token for token in tokens if token not in known)):
                message = pb.BatchVerifyTokensRequest(tokens=batch)
                answer = await self._calls.read(self._stub.BatchVerifyTokens, message, (), timeout)
                known |= outcomes(batch, answer)
        except SessionClientError as failure:
            return tuple(known.get(token, failure) for token in tokens)
        return tuple(known[token] for token in tokens)

    async def list_sessions(
        self, access_token: str, *, page_size: int = 0, page_token: str = "", timeout: float | None = None
    ) -> Page[Session]:
        """One page of the caller's live sessions, the most recently used first.

        Args:
            access_token: whose sessions; its own one is ``current``.
            page_size: 1 to 100; 0 stands for 20.
            page_token: ``next_page_token`` of the page before; empty for the first.
            timeout: see the class.

        Raises:
            TokenError: the caller is not logged in.
        """
        message = request(pb.ListSessionsRequest, page_size=page_size, page_token=page_token)
        answer = await self._calls.read(self._stub.ListSessions, message, bearer(access_token), timeout)
        return session_page(answer)

    def iter_sessions(self, access_token: str, *, timeout: float | None = None) -> AsyncIterator[Session]:
        """All of the caller's live sessions, fetched page by page; ``timeout`` holds for each page.

        Raises:
            TokenError: the caller is not logged in.
        """
        return each(
            lambda page_token: self.list_sessions(
                access_token, page_size=100, page_token=page_token, timeout=timeout
            )
        )

    async def logout(self, access_token: str, *, timeout: float | None = None) -> None:
        """End the caller's session. One that has ended already counts as done.

        Raises:
            TokenMissing: the token is empty.
            TokenInvalid: it is not one of this service's.
            TokenExpired: it is past its expiry; the session may live on. Refresh it, then log out.
        """
        try:
            await self._calls.write(self._stub.Logout, pb.LogoutRequest(), bearer(access_token), timeout)
        except SessionEnded:
            return

    async def logout_all(
        self, access_token: str, *, keep_current: bool = False, timeout: float | None = None
    ) -> int:
        """End all sessions of the caller's user, on request all but the caller's own.

        Returns:
            How many sessions were ended.

        Raises:
            TokenError: the caller is not logged in.
        """
        message = pb.LogoutAllRequest(keep_current=keep_current)
        answer = await self._calls.write(self._stub.LogoutAll, message, bearer(access_token), timeout)
        return answer.revoked_count

    async def revoke_session(
        self, access_token: str, session_id: str, *, timeout: float | None = None
    ) -> None:
        """End one session of the caller's user.

        Raises:
            SessionNotFound: the user has no live session of that id.
            TokenError: the caller is not logged in.
        """
        message = request(pb.RevokeSessionRequest, session_id=session_id)
        await self._calls.write(self._stub.RevokeSession, message, bearer(access_token), timeout)

    async def change_password(
        self,
        access_token: str,
        current_password: str,
        new_password: str,
        *,
        keep_other_sessions: bool = False,
        timeout: float | None = None,
    ) -> int:
        """Set a new password for the caller's user, and end the user's other sessions.

        Args:
            access_token: whose password; this session stays.
            current_password: as proof that the caller is the user.
            new_password: 8 to 256 characters, taken exactly as they are.
            keep_other_sessions: leave them alive.
            timeout: see the class.

        Returns:
            How many other sessions were ended.

        Raises:
            InvalidCredentials: the current password is wrong.
            UserNotFound: the user is not in the service's directory.
            RateLimited: too many attempts, or too many passwords at this moment.
            TokenError: the caller is not logged in.
        """
        message = request(
            pb.ChangePasswordRequest,
            current_password=current_password,
            new_password=new_password,
            keep_other_sessions=keep_other_sessions,
        )
        answer = await self._calls.write(self._stub.ChangePassword, message, bearer(access_token), timeout)
        return answer.revoked_count

    async def close(self) -> None:
        """Close the connections. Calls under way fail; later ones raise ``RuntimeError``."""
        await self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
