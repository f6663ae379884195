"""The service's API with answers that a test writes: real gRPC over a socket, nothing behind it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeAlias

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from session_api.v1 import admin_service_pb2, session_service_pb2

from session_service.rpc.status import status_of
from tests.support.ports import LOOPBACK
from tests.support.scripted_watches import ScriptedWatches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import MethodDescriptor

Answer: TypeAlias = Message | Exception | Callable[[], Message]

METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for module in (session_service_pb2, admin_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


class Refused(Exception):
    """Answers with a status that carries no details, as a proxy or gRPC itself would."""

    def __init__(self, code: grpc.StatusCode, message: str = "refused", details: bytes | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.details = details


@dataclass(frozen=True, slots=True)
class ReceivedCall:
    """A call as it arrived; ``time_left`` is the seconds that the caller was still willing to wait."""

    name: str
    request: Any
    metadata: dict[str, str]
    time_left: float


class ScriptedService(grpc.GenericRpcHandler):  # type: ignore[misc,type-arg,unused-ignore]
    """Serves every RPC on a loopback port; unscripted ones answer with an empty message.

    Streams of ``WatchTokens`` are in ``watches``.

    Args:
        credentials: Given, the port is served with TLS.
    """

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self.calls: list[ReceivedCall] = []
        self.watches = ScriptedWatches()
        self.port = 0
        self._credentials = credentials
        self._script: dict[str, deque[Answer]] = {}
        self._released = threading.Event()
        self._server: grpc.Server | None = None

    def __enter__(self) -> Self:
        """Start serving."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End whatever hangs, and stop."""
        self.stop()

    @property
    def target(self) -> str:
        """Where it serves, as gRPC names it."""
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Serve, after a stop on the same port as before."""
        self._released.clear()
        self._server = grpc.server(
            ThreadPoolExecutor(16), handlers=[self], options=[("grpc.so_reuseport", 0)]
        )
        if self._credentials is None:
            self.port = self._server.add_insecure_port(self.target)
        else:
            self.port = self._server.add_secure_port(self.target, self._credentials)
        self._server.start()

    def stop(self) -> None:
        """Stop at once; calls under way fail."""
        if self._server is not None:
            stopped = self._server.stop(grace=None)
            self._released.set()
            stopped.wait()
            self._server = None

    def script(self, name: str, *answers: Answer) -> None:
        """Answer calls of an RPC in this order; the last answer stays.

        Args:
            name: The RPC's name without its service, such as `Login`.
            answers: Messages, exceptions of the domain or `Refused`, or functions that make a message.
        """
        self._script[name] = deque(answers)

    def hang(self) -> Message:
        """Do not answer before the service stops; to be scripted as an answer."""
        self._released.wait()
        return session_service_pb2.LogoutResponse()

    def count(self, name: str) -> int:
        """How many calls of an RPC have arrived."""
        return sum(call.name == name for call in self.calls)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of a method; part of gRPC's interface."""
        method = METHODS.get(details.method)
        if method is None:
            return None
        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self.watches.serve,
                request_deserializer=GetMessageClass(method.input_type).FromString,
                response_serializer=lambda response: response.SerializeToString(),
            )
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._answer(method, request, context),
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )

    def _answer(self, method: MethodDescriptor, request: Message, context: grpc.ServicerContext) -> Message:
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        self.calls.append(ReceivedCall(method.name, request, metadata, context.time_remaining() or 0.0))
        answer = self._next(method)
        if isinstance(answer, Exception):
            _abort(context, answer)
        return answer if isinstance(answer, Message) else answer()

    def _next(self, method: MethodDescriptor) -> Answer:
        answers = self._script.get(method.name)
        if not answers:
            return GetMessageClass(method.output_type)()
        return answers.popleft() if len(answers) > 1 else answers[0]


def rpc_names() -> Iterator[str]:
    """The name of every RPC of both services that has one answer."""
    return (method.name for method in METHODS.values() if not method.client_streaming)


def _abort(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    if isinstance(error, Refused):
        if error.details is not None:
            context.set_trailing_metadata((("grpc-status-details-bin", error.details),))
        context.abort(error.code, str(error))
    status = status_of(error)
    context.set_trailing_metadata(status.trailers)
    context.abort(status.code, status.message)
