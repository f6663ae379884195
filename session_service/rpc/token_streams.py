"""``WatchTokens``: over one stream, a client asks for checks and is told when the answers no longer hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Literal

from google.protobuf.duration_pb2 import Duration
from session_api.v1 import session_service_pb2 as pb

from session_service.domain.checks import TokenCheck
from session_service.domain.errors import FieldViolation, InvalidArgument, Overloaded
from session_service.domain.steady import steady
from session_service.domain.token_watches import Failed, Invalidated, Pong, TokenWatches, Told, Verified
from session_service.domain.watching import SessionWatches
from session_service.rpc.caller import Context
from session_service.rpc.check_messages import check_failure
from session_service.rpc.conversions import verified_message
from session_service.rpc.refusals import StoppingError

STALLED_SECONDS: Final = 5.0
"""How long a client may leave a message untaken."""

_NOTHING_ASKED: Final = FieldViolation("request", "must be one of verify, ping and forget")


class TokenStreams:
    """Serves the streams of all clients.

    Args:
        check: checks strictly.
        watches: tells of changes.
        ending: set when streams must end, as the server is about to.
    """

    def __init__(self, check: TokenCheck, watches: SessionWatches, ending: asyncio.Event) -> None:
        self._check = check
        self._watches = watches
        self._ending = ending

    async def serve(self, requests: AsyncIterator[pb.WatchTokensRequest], context: Context) -> None:
        """Serve a stream until its client has asked all it wants and has been answered.

        Raises:
            InvalidArgument: a message breaks its limits.
            Overloaded: the client does not take what it is told.
            StoppingError: the server stops.
        """
        stream = _Stream(TokenWatches(self._check, self._watches), context)
        asking = asyncio.create_task(stream.ask(requests))
        telling = asyncio.create_task(stream.tell())
        ending = asyncio.create_task(self._ending.wait())
        try:
            await _to_the_end(stream, asking, telling, ending)
        except Exception:
            asking.cancel()
            stream.watches.close()
            await stream.fall_silent(telling)
            raise
        finally:
            for task in (asking, telling, ending):
                task.cancel()
            stream.watches.close()


async def _to_the_end(
    stream: _Stream,
    asking: asyncio.Task[None],
    telling: asyncio.Task[None],
    ending: asyncio.Task[Literal[True]],
) -> None:
    while not telling.done():
        awaited = {task for task in (asking, telling, ending) if not task.done()}
        await asyncio.wait(awaited, timeout=STALLED_SECONDS / 2, return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            asking.result()
        if ending.done():
            raise StoppingError("the server stops")
        stream.check_progress()
    telling.result()


class _Stream:
    """One client's stream, both ways."""

    def __init__(self, watches: TokenWatches, context: Context) -> None:
        self.watches = watches
        self._context = context
        self._writing_since: float | None = None
        self._silent = False

    async def ask(self, requests: AsyncIterator[pb.WatchTokensRequest]) -> None:
        """Take what the client says, to the end of it."""
        async for request in requests:
            match request.WhichOneof("request"):
                case "verify":
                    await self.watches.verify(request.verify.id, request.verify.token)
                case "ping":
                    await self.watches.ping(request.ping.id)
                case "forget":
                    self.watches.forget(request.forget.ids)
                case _:
                    raise InvalidArgument(_NOTHING_ASKED)
        self.watches.finish()

    async def tell(self) -> None:
        """Tell the client all there is to tell, to the end of it."""
        while not self._silent and (told := await self.watches.told()) is not None:
            self._writing_since = steady()
            await self._context.write(_message(told))
            self._writing_since = None

    async def fall_silent(self, telling: asyncio.Task[None]) -> None:
        """Tell nothing more; returns when what is being written has been taken.

        In the middle of a write ``grpc.aio`` cannot end a call. A client that never takes it keeps a place
        and one message, until its connection ends.
        """
        self._silent = True
        if self._writing_since is None:
            telling.cancel()
        await asyncio.wait({telling})

    def check_progress(self) -> None:
        """See that the client takes what it is told.

        Raises:
            Overloaded: it does not.
        """
        if self._writing_since is not None and steady() - self._writing_since >= STALLED_SECONDS:
            raise Overloaded


def _message(told: Told) -> pb.WatchTokensResponse:
    response = pb.WatchTokensResponse()
    match told:
        case Verified(number, identity, valid_for):
            response.verified.id = number
            response.verified.identity.CopyFrom(verified_message(identity))
            if valid_for is not None:
                _set(response.verified.valid_for, valid_for)
        case Failed(number, error):
            response.failed.id = number
            response.failed.failure.CopyFrom(check_failure(error))
        case Invalidated(numbers):
            response.invalidated.ids.extend(numbers)
        case Pong(number):
            response.pong.id = number
    return response


def _set(duration: Duration, seconds: float) -> None:
    # Cut off, not rounded: never longer than the store said.
    duration.seconds = int(seconds)
    duration.nanos = int(seconds % 1 * 1e9)
