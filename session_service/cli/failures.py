"""How a command ends that could not do its work: one line on standard error, and an exit code.

==== ============================================================================
0    done
1    refused: not found, already there, a value out of its limits, drift found;
     a server that could not start, or that ended by itself
2    the command line or the configuration is wrong
3    Redis is not available
==== ============================================================================
"""

from __future__ import annotations

from typing import Final

import click

from session_service.certificate_files import CertificateError
from session_service.config import ConfigError
from session_service.domain.errors import SessionServiceError, StoreUnavailable
from session_service.serving import ServingEndedError
from session_service.storage.directory_lock import DirectoryInUse
from session_service.storage.embedded import EmbeddedRedisError
from session_service.supervisor import WorkerFailedError
from session_service.tokens.keys import KeyRingError


class Refused(click.ClickException):
    """What was asked for cannot be done; the message names the field and its limit."""

    exit_code = 1


class Misused(click.ClickException):
    """The configuration is wrong; the message names each key, one a line."""

    exit_code = 2


class Unavailable(click.ClickException):
    """Redis cannot be reached or started."""

    exit_code = 3


_FAILURES: Final[dict[type[Exception], type[click.ClickException]]] = {
    StoreUnavailable: Unavailable,
    EmbeddedRedisError: Unavailable,
    ConfigError: Misused,
    KeyRingError: Misused,
    CertificateError: Misused,
    SessionServiceError: Refused,
    DirectoryInUse: Refused,
    WorkerFailedError: Refused,
    ServingEndedError: Refused,
    OSError: Refused,
}

FAILING: Final = tuple(_FAILURES)
"""The errors of the layers below that have an exit code."""


def failure(error: Exception) -> click.ClickException:
    """What a command ends with where one of these errors came up."""
    kind = next(kind for failing, kind in _FAILURES.items() if isinstance(error, failing))
    if isinstance(error, OSError) and error.filename is not None:
        return kind(f"{error.filename}: {error.strerror}")
    return kind(str(error))
