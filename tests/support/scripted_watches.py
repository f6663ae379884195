"""WatchTokens with answers that a test writes, for `ScriptedService`."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

import grpc

from tests.support.watching_model import failed, invalidated, pong, verified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_api.v1 import session_service_pb2 as pb

_END = object()


class ScriptedStream:
    """One client's stream: what it has said, and what it is told."""

    def __init__(self) -> None:
        self.pings: list[int] = []
        self.verifies: list[pb.WatchTokensRequest.Verify] = []
        self.forgotten: list[int] = []
        self.over = threading.Event()
        self._to_tell: queue.SimpleQueue[object] = queue.SimpleQueue()

    def tell(self, *messages: pb.WatchTokensResponse) -> None:
        """Say something."""
        for message in messages:
            self._to_tell.put(message)

    def end(self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        """End the stream with this status."""
        self._to_tell.put(code)

    def invalidate(self, token: str) -> None:
        """Say that every answer for a token no longer holds."""
        self.tell(invalidated(*(verify.id for verify in self.verifies if verify.token == token)))

    def answers(self, context: grpc.ServicerContext) -> Iterator[object]:
        """What is told, to the end."""
        while (told := self._to_tell.get()) is not _END:
            if isinstance(told, grpc.StatusCode):
                context.abort(told, "the stream is over")
            yield told

    def hang_up(self) -> None:
        """Take note that the client is gone."""
        self.over.set()
        self._to_tell.put(_END)


class ScriptedWatches:
    """All streams of a service.

    Pings are answered, and tokens accepted as those of a user whose id is the token, unless the test sets
    otherwise; what is not answered, the test answers by ``tell``.
    """

    def __init__(self) -> None:
        self.streams: list[ScriptedStream] = []
        self.answers_pings = True
        self.answers_verifies = True
        self.refused: set[str] = set()
        self.refuses_streams: grpc.StatusCode | None = None

    @property
    def last(self) -> ScriptedStream:
        """The newest stream."""
        return self.streams[-1]

    def asked(self, token: str) -> int:
        """How often a token has been asked about, on all streams."""
        return sum(verify.token == token for stream in self.streams for verify in stream.verifies)

    def serve(
        self, requests: Iterator[pb.WatchTokensRequest], context: grpc.ServicerContext
    ) -> Iterator[object]:
        """Serve a stream."""
        stream = ScriptedStream()
        context.add_callback(stream.hang_up)
        if self.refuses_streams is not None:
            stream.end(self.refuses_streams)
        else:
            threading.Thread(target=self._listen, args=(stream, requests), daemon=True).start()
        self.streams.append(stream)
        return stream.answers(context)

    def _listen(self, stream: ScriptedStream, requests: Iterator[pb.WatchTokensRequest]) -> None:
        try:
            for request in requests:
                self._take(stream, request)
        except Exception:  # noqa: BLE001 - grpc raises a bare one where the client is gone
            stream.hang_up()

    def _take(self, stream: ScriptedStream, request: pb.WatchTokensRequest) -> None:
        match request.WhichOneof("request"):
            case "ping":
                stream.pings.append(request.ping.id)
                if self.answers_pings:
                    stream.tell(pong(request.ping.id))
            case "verify":
                stream.verifies.append(request.verify)
                if self.answers_verifies:
                    self._answer(stream, request.verify)
            case _:
                stream.forgotten += request.forget.ids

    def _answer(self, stream: ScriptedStream, verify: pb.WatchTokensRequest.Verify) -> None:
        answer = failed(verify.id) if verify.token in self.refused else verified(verify.id, verify.token)
        stream.tell(answer)
