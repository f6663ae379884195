"""Where the engine's package is not built these tests are skipped aloud; with CI=true they fail."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.engine.carrier import BUILT, Carrier
from tests.support.tools import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def _is_built() -> None:
    if not BUILT:
        missing("session_service_engine is not built")


@pytest.fixture
def carriers() -> Iterator[ExitStack]:
    """Holds what a test starts."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
async def carry(carriers: ExitStack) -> Callable[..., Carrier]:
    """Start an engine of the test's own; the arguments are those of ``Engine`` that differ."""

    def start(**settings: object) -> Carrier:
        return carriers.enter_context(Carrier(**settings))

    return start
