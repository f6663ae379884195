"""The engines that are measured, and what on each does nothing: what its transport costs by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.processes import EMPTY_HANDLER, EMPTY_NATIVE
from session_service.config.sections import Engine

DEFAULT: Final = Engine.NATIVE
"""The engine that the service runs on where it can; its figures have no prefix."""

PREFIXES: Final = {DEFAULT: "", Engine.GRPC_AIO: "grpc_aio_"}
"""What the names of an engine's figures begin with."""

EMPTY: Final[dict[Engine, Sequence[str]]] = {DEFAULT: EMPTY_NATIVE, Engine.GRPC_AIO: EMPTY_HANDLER}
"""What runs the empty handler on an engine."""
