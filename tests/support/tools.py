"""Tools that tests run as other programs: skipped aloud on a laptop, demanded in CI."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def require_tool(name: str) -> Path:
    """Return the path of a program on PATH, or skip the test; with CI=true fail it.

    Args:
        name: The program's name, such as `grpcurl` or `h2load`.
    """
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not on PATH")
    return Path(found)


def missing(reason: str) -> NoReturn:
    """Skip the test with the reason; with CI=true fail it, since there nothing may be left out."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI must install it", pytrace=False)
    pytest.skip(reason)
