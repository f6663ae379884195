"""A stop that is asked for while something is begun is not lost."""

from __future__ import annotations

import gc
import signal

import pytest

from session_service.stopping import interrupt, was_asked_for


class Finalised:
    """Is asked to stop while it is being finalised, where Python drops what is raised."""

    def __del__(self) -> None:
        """Be interrupted."""
        interrupt(signal.SIGTERM, None)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_wish_that_python_dropped_is_kept() -> None:
    """Whoever takes signals over is told of it, once."""
    assert not was_asked_for()
    Finalised()
    gc.collect()
    assert was_asked_for()
    assert not was_asked_for()


def test_otherwise_it_is_an_interruption() -> None:
    """What is going on ends."""
    with pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGTERM, None)
    assert was_asked_for()
