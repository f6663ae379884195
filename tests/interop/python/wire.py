"""About the transport: each of these lines is the same on every engine of the service."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.session_service_pb2_grpc import SessionServiceStub

from tests.interop.python.transcript import attempt, code_of, error_of, report

AT_ONCE: Final = 50
SOON: Final = 0.3
IN_FLIGHT: Final = 0.1
SESSION_V1: Final = "session.v1.SessionService"

Question = reflection_pb2.ServerReflectionRequest


def wire(channel: grpc.Channel, token: str) -> None:
    """Go through what the wire can do."""
    sessions = SessionServiceStub(channel)
    _metadata_values(sessions, token)
    _compressed(sessions, token)
    too_large = pb.LoginRequest(username="x" * 70_000)
    attempt("message too large", sessions.Login, too_large)
    _bytes_as_they_are(channel)
    _many_at_once(sessions, token)
    health: Any = health_pb2_grpc.HealthStub(channel)
    _health_checks(health)
    _health_watches(health)
    _reflected(channel)


def _metadata_values(service: SessionServiceStub, token: str) -> None:
    metadata = (
        ("authorization", f"Bearer {token}"),
        ("x-trace-bin", b"\x00\xff\xfe"),
        ("x-trace-bin", b""),
        ("x-note", "plain"),
    )
    attempt("binary metadata", service.VerifyToken, pb.VerifyTokenRequest(), metadata=metadata)


def _compressed(service: SessionServiceStub, token: str) -> None:
    for name, sent in (
        ("gzip", token),
        ("gzip of much", "x" * 20_000),
        ("gzip of too much", "x" * (1 << 20)),
    ):
        request = pb.VerifyTokenRequest(token=sent)
        attempt(name, service.VerifyToken, request, compression=grpc.Compression.Gzip)


def _bytes_as_they_are(channel: grpc.Channel) -> None:
    for name, method, message in (
        ("no message", f"/{SESSION_V1}/Login", b"\xff\xff\xff"),
        ("unknown method", f"/{SESSION_V1}/NoSuch", b""),
        ("unknown service", "/no.Such/Method", b""),
    ):
        call: Any = channel.unary_unary(method)
        attempt(name, call, message)


def _many_at_once(service: SessionServiceStub, token: str) -> None:
    futures = [service.VerifyToken.future(pb.VerifyTokenRequest(token=token)) for _ in range(AT_ONCE)]
    codes = Counter(code_of(error_of(future.result)) for future in futures)
    report("many at once", codes=dict(codes))


def _health_checks(health: Any) -> None:
    for name in ("", SESSION_V1, "no.Such"):
        case, request = f"health of '{name}'", health_pb2.HealthCheckRequest(service=name)
        try:
            answer = health.Check(request)
        except grpc.RpcError as error:
            report(case, error)
        else:
            report(case, status=_state(answer))


def _health_watches(health: Any) -> None:
    """Streams that the server would never end."""
    known, unknown = (health_pb2.HealthCheckRequest(service=name) for name in (SESSION_V1, "no.Such"))
    _watch("watch until the deadline", health.Watch(known, timeout=SOON), lambda: None)
    stream = health.Watch(known)
    _watch("watch and cancel", stream, stream.cancel)
    stream = health.Watch(unknown)
    _watch("watch what is not there", stream, stream.cancel)


def _watch(name: str, stream: Any, callback: Callable[[], object]) -> None:
    """Read states until the stream ends, and call back at each."""
    states = []
    try:
        for answer in stream:
            states.append(_state(answer))
            callback()
    except grpc.RpcError as error:
        report(name, error, states=states)


def _state(answer: Any) -> str:
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def _reflected(channel: grpc.Channel) -> None:
    """Ask three questions on one stream, each once the one before is answered."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    questions: SimpleQueue[Question | None] = SimpleQueue()
    answers = stub.ServerReflectionInfo(iter(questions.get, None))

    def ask(**question: Any) -> Any:
        questions.put(Question(**question))
        return next(answers)

    listed = ask(list_services="").list_services_response.service
    file = ask(file_containing_symbol=SESSION_V1).file_descriptor_response
    unknown = ask(file_containing_symbol="no.Such").error_response
    questions.put(None)
    report(
        "reflection",
        error_of(lambda: list(answers)),
        services=sorted(each.name for each in listed if each.name.startswith("session.")),
        files=len(file.file_descriptor_proto),
        unknown=unknown.error_code,
    )


def stalled(channel: grpc.Channel, token: str) -> None:
    """Call a service that waits for its store: until the deadline, until given up, until it gives up."""
    service, request = SessionServiceStub(channel), pb.VerifyTokenRequest(token=token)
    attempt("deadline", service.VerifyToken, request, timeout=SOON)
    call = service.VerifyToken.future(request)
    threading.Timer(IN_FLIGHT, call.cancel).start()
    report("cancel", _cancelled(call))
    attempt("store away", service.VerifyToken, request)


def _cancelled(call: Any) -> Any:
    """The call itself, which knows its code, once it is over: a result would raise another kind of error."""
    over = threading.Event()
    call.add_done_callback(lambda _: over.set())
    over.wait()
    return call
