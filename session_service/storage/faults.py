"""The one mapping of what Redis, redis-py and the network raise to ``StoreUnavailable``.

A fault says nothing about a session, so it is neither "ended" nor "fine" (ASVS 16.5.3). Any other error
reply means a mistake in this program and passes through.
"""

from __future__ import annotations

import logging
import re
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, Literal

from redis import exceptions as redis_errors

from session_service.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from types import TracebackType

_LOGGER = logging.getLogger(__name__)

DEMOTED_CODES: Final = frozenset({"READONLY", "MASTERDOWN"})
"""The server is a replica by now; the primary is elsewhere."""

NOTHING_SENT: Final = "nothing was sent"
"""The note on an error that came up while connecting."""

_CONFIGURATION_CODES: Final = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})
_FAULT_CODES: Final = (
    DEMOTED_CODES
    | _CONFIGURATION_CODES
    | {"LOADING", "OOM", "NOREPLICAS", "MISCONF", "BUSY", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK"}
)
_FAULT_TYPES: Final = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ClusterError,
    redis_errors.InvalidResponse,
    redis_errors.RedisClusterException,
    OSError,
)
# Redis 6.2 wraps the error of a command inside a script: "ERR Error running script (call to f_<sha>):
# @user_script:1: @user_script: 1: -READONLY You can't write …". Redis 7 puts the code in front again.
_IN_SCRIPT: Final = re.compile(r"@user_script:\s?\d+: -?([A-Z]+) ")
# In a cluster, while a slot migrates: a key that the script names itself, of its own slot, has gone already.
_GONE_AHEAD: Final = "cript attempted to access a non local key"
_CODE: Final = re.compile(r"-?([A-Z]+)\b")
_SECONDS_BETWEEN_LOGS: Final = 10.0
_last_logged: dict[str, float] = {}


def fault_code(error: BaseException) -> str:
    """The code an error reply begins with, such as ``READONLY``; empty where there is none."""
    text = str(error)
    code = getattr(error, "status_code", None) or ""
    if code in {"", "ERR"} and isinstance(error, redis_errors.RedisError):
        found = _IN_SCRIPT.search(text) or _CODE.match(text)
        code = found.group(1) if found else code
    return code


def is_store_fault(error: BaseException) -> bool:
    """Whether the error means that Redis cannot answer now."""
    return (
        isinstance(error, _FAULT_TYPES)
        or fault_code(error) in _FAULT_CODES
        or (isinstance(error, redis_errors.ResponseError) and _GONE_AHEAD in str(error))
    )


def is_configuration_fault(error: BaseException) -> bool:
    """Whether the error will stay until somebody mends credentials or access rights."""
    return isinstance(error, redis_errors.AuthenticationError) or fault_code(error) in _CONFIGURATION_CODES


def _was_not_done(error: BaseException) -> bool:
    """Whether the error tells that a change was not made: Redis refused it, or was never asked."""
    refused = isinstance(error, redis_errors.ResponseError | redis_errors.BusyLoadingError)
    return refused or NOTHING_SENT in getattr(error, "__notes__", ())


def store_unavailable(error: BaseException) -> StoreUnavailable:
    """The error to raise for a store fault; configuration faults are logged, at most one in 10 s each."""
    if is_configuration_fault(error):
        _log_configuration_fault(error)
    return StoreUnavailable(maybe_done=not _was_not_done(error))


class store_faults(AbstractContextManager[None]):  # noqa: N801 - reads as a statement: with store_faults()
    """Turns store faults inside the block into ``StoreUnavailable``; wrap Redis calls and nothing else."""

    __slots__ = ()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        """Replace the error, keeping it as the cause.

        Raises:
            StoreUnavailable: the block ended with a store fault.
        """
        if error is not None and is_store_fault(error):
            raise store_unavailable(error) from error
        return False


def _log_configuration_fault(error: BaseException) -> None:
    code = fault_code(error) or type(error).__name__
    now = time.monotonic()
    if now - _last_logged.get(code, -_SECONDS_BETWEEN_LOGS) >= _SECONDS_BETWEEN_LOGS:
        _last_logged[code] = now
        _LOGGER.error("redis refuses this service's credentials or rights: %s", error)
