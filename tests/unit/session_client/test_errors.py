"""The exception tree: as drawn, and able to travel."""

from __future__ import annotations

import pickle
import re
from datetime import timedelta

import session_client
from session_client import FieldViolation, InvalidArgument, SessionClientError, TooManyAttempts


def _drawn() -> dict[str, str]:
    """Class → parent, as the package's docstring draws them."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (session_client.__doc__ or "").splitlines():
        match = re.match(r"( {4}[│├└─ ]*)([A-Z]\w+)( |$)", line)
        if match and (match[2] == "SessionClientError" or "─" in match[1]):
            depth = len(match[1]) // 4 - 1
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else ""
    return parents


def test_the_tree_is_as_drawn() -> None:
    """The docstring draws every exception under its parent, and none that there is not."""
    kinds = [kind for kind in vars(session_client).values() if isinstance(kind, type)]
    exceptions = [kind for kind in kinds if issubclass(kind, SessionClientError)]
    actual = {kind.__name__: kind.__base__.__name__ for kind in exceptions if kind.__base__}

    assert _drawn() == actual | {"SessionClientError": ""}


def test_exceptions_travel_between_processes() -> None:
    """An exception that is pickled, as by a worker pool, arrives whole."""
    sent = TooManyAttempts(
        "wait", retry_after=timedelta(seconds=5), code="X", reason="Y", metadata={"a": "1"}
    )
    wrong = InvalidArgument("bad", violations=(FieldViolation("f", "d"),))
    for error in (sent, wrong):
        received = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        assert type(received) is type(error)
        assert vars(received) == vars(error)
        assert str(received) == str(error)
