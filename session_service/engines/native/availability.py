"""Whether the native engine can run here."""

from __future__ import annotations

import importlib
from typing import Final

_VERSION: Final = "0.1"
_HOW: Final = (
    "pip install 'session-service[native]', or `make install` where cargo is, "
    "which on Debian `apt-get install cargo-web` brings"
)


def unavailable() -> str:
    """What is missing, and how to get it; empty if the engine can run."""
    try:
        package = importlib.import_module("session_service_engine")
    except ImportError as error:
        absent = error.name == "session_service_engine"
        problem = "is not installed" if absent else f"cannot be loaded: {error}"
        return f"the package session-service-engine {problem}; {_HOW}"
    version = str(package.__version__)
    if version.rpartition(".")[0] != _VERSION:
        return f"the package session-service-engine is {version}, and {_VERSION} is needed; {_HOW}"
    return ""
