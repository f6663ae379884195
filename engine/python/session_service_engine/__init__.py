"""Carries gRPC, gRPC-Web and HTTP between sockets and one thread of Python; `_engine.pyi` says how."""

from session_service_engine._engine import (
    END,
    GONE,
    HTTP,
    MESSAGES,
    STREAM,
    UNARY,
    WRITABLE,
    Call,
    Engine,
    Reply,
    __version__,
)

__all__ = [
    "END",
    "GONE",
    "HTTP",
    "MESSAGES",
    "STREAM",
    "UNARY",
    "WRITABLE",
    "Call",
    "Engine",
    "Reply",
    "__version__",
]
