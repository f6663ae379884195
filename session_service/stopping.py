"""A stop that is asked for before anything serves.

It comes as an exception, so that what was begun is ended in order. But Python drops an exception that is
raised while an object is being finalised, which nobody can rule out: so the wish is also kept, for whoever
takes signals over to look at once it has.
"""

from __future__ import annotations

from typing import NoReturn

_wishes: list[int] = []


def interrupt(number: int, _frame: object) -> NoReturn:
    """Keep the wish, and end what is going on; a handler of signals."""
    _wishes.append(number)
    raise KeyboardInterrupt


def was_asked_for() -> bool:
    """Whether a stop was asked for and nothing came of it; once."""
    asked = bool(_wishes)
    _wishes.clear()
    return asked
