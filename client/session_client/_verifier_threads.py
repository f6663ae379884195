"""The verifier for threads: it moves messages between ``Watching`` and a stream of grpc.

One lock guards ``Watching``; a check that is answered from memory does without it. A thread of the
verifier reads the stream; one of grpc takes from ``_requests`` what is to be sent.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Final, Self, TypeAlias

import grpc
from session_api.v1 import session_service_pb2 as pb

from session_client._clock import steady
from session_client._reopening import Reopening
from session_client._results import Identity
from session_client._sync_client import SessionClient
from session_client._verifying import (
    answered,
    check_limits,
    closed,
    closed_meanwhile,
    refuse_at_sight,
    too_late,
)
from session_client._watching import Outcome, Question, Watching

_Answer: TypeAlias = "Future[Outcome]"


class TokenVerifier:
    """Checks access tokens mostly from memory, and yet knows within ``max_staleness`` of a session's end.

    Make one for all threads of a process, after any fork, and keep it. It keeps one stream to the service,
    over which the service tells of every session that ends or changes. An answer is used only while it is
    proven that nothing older than ``max_staleness`` is missing; else, and whenever there is no stream, each
    check is the client's own ``verify_token``. So it never accepts what it does not know: where the service
    is away, checks raise ``ServiceUnavailable`` or ``DeadlineExceeded``.

    Args:
        client: what checks are made with; to be closed after the verifier.
        max_staleness: for so many seconds after a session's end was acknowledged, a check may still accept
            its tokens. More than 0, at most 60.
        max_tokens: the most answers to remember, about 1 KiB each; the least recently used go.
        touch_interval: seconds after which a token in use is checked again in the background, so that its
            session does not become idle for the service. Keep it below the service's idle time-out.

    Raises:
        ValueError: a limit is broken.
    """

    def __init__(
        self,
        client: SessionClient,
        *,
        max_staleness: float = 1.0,
        max_tokens: int = 10_000,
        touch_interval: float = 60.0,
    ) -> None:
        check_limits(max_staleness, max_tokens, touch_interval)
        self._client = client
        self._calls = client._calls  # noqa: SLF001 - a part of the client in a module of its own
        self._stub = client._stub  # noqa: SLF001
        self._watching: Watching[_Answer] = Watching(
            max_staleness=max_staleness,
            max_tokens=max_tokens,
            touch_interval=touch_interval,
            patience=self._calls.read_timeout,
            new_answer=Future,
        )
        self._remembered = self._watching.remembered
        self._reopening = Reopening()
        self._changed = threading.Condition()
        self._call: grpc.Call | None = None
        self._closed = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="session-client-verifier", daemon=True)
        self._thread.start()

    def verify(self, access_token: str, *, timeout: float | None = None) -> Identity:
        """Check an access token: its session is alive, or was within the last ``max_staleness``.

        Only ``TokenError`` means "not logged in". ``ServiceUnavailable`` says nothing either way.

        Args:
            access_token: without ``Bearer``.
            timeout: seconds it may take in all instead of the client's default for reads.

        Raises:
            TokenMissing: it is empty.
            TokenInvalid: it is not one of this service's.
            TokenExpired: it is past its expiry.
            SessionEnded: its session is over.
            SessionClientError: and all else that the client's ``verify_token`` raises.
        """
        identity = self._remembered(access_token, steady())
        return self._verify(access_token, timeout) if identity is None else identity

    def close(self) -> None:
        """End the stream. Checks that wait for it fail; later ones raise ``RuntimeError``."""
        with self._changed:
            self._closed.set()
            self._drop_stream()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _verify(self, token: str, timeout: float | None) -> Identity:
        if self._closed.is_set():
            raise closed()
        refuse_at_sight(token)
        began = steady()
        known = self._ask(token, began)
        if isinstance(known, Identity):
            return known
        if known is None:
            return self._client.verify_token(token, timeout=timeout)
        deadline = began + (self._calls.read_timeout if timeout is None else timeout)
        try:
            identity = answered(known.answer.result(deadline - steady()))
        except TimeoutError:
            with self._changed:
                self._give_up_if_stalled()
            raise too_late() from None
        return self._verify_by_call(token, deadline) if identity is None else identity

    def _verify_by_call(self, token: str, deadline: float) -> Identity:
        if self._closed.is_set() or self._calls.closed:
            raise closed_meanwhile()
        return self._client.verify_token(token, timeout=max(0.0, deadline - steady()))

    def _ask(self, token: str, now: float) -> Identity | Question[_Answer] | None:
        with self._changed:
            self._give_up_if_stalled()
            known = self._watching.ask(token, now)
            if self._watching.has_unsent:
                self._changed.notify_all()
            return known

    def _give_up_if_stalled(self) -> None:
        """Take a stream that does not answer for dead. Only those who use it need to know, so no timer."""
        if self._watching.is_stalled(steady()):
            self._drop_stream()

    def _drop_stream(self) -> None:
        self._watching.lost()
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        self._changed.notify_all()

    def _run(self) -> None:
        """Keep a stream open until the verifier or its client is closed."""
        while not (self._closed.is_set() or self._calls.closed):
            opened_at = steady()
            code = self._watch()
            was_confirmed = self._watching.was_confirmed
            pause = self._reopening.pause(steady() - opened_at, code, was_confirmed=was_confirmed)
            self._closed.wait(pause)

    def _watch(self) -> str:
        """Open a stream and take in what it says until it ends; returns the status it ended with."""
        ended = threading.Event()
        try:
            self._read(self._open(ended))
        except grpc.RpcError as error:
            return str(error.code().name)
        except Exception as error:  # noqa: BLE001 - whatever broke it: it is over, and another may work
            return type(error).__name__
        else:
            return grpc.StatusCode.OK.name
        finally:
            with self._changed:
                ended.set()
                self._drop_stream()

    def _open(self, ended: threading.Event) -> Iterable[pb.WatchTokensResponse]:
        with self._changed:
            self._watching.opened(steady())
            self._call = call = self._stub.WatchTokens(self._requests(ended))
            if self._closed.is_set():
                self._drop_stream()
            return call

    def _read(self, messages: Iterable[pb.WatchTokensResponse]) -> None:
        for message in messages:
            with self._changed:
                self._watching.heard(message, steady())
                if self._watching.has_unsent:
                    self._changed.notify_all()
            if self._watching.was_confirmed:
                self._reopening.confirmed()

    def _requests(self, ended: threading.Event) -> Iterator[pb.WatchTokensRequest]:
        """What one stream is to send, until it has ended."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: ended.is_set() or self._watching.has_unsent)
                message = None if ended.is_set() else self._watching.next_message()
            if message is None:
                return
            yield message
