"""The synchronous client is what the generator makes of the asynchronous one."""

from __future__ import annotations

import importlib.util
import inspect
from types import ModuleType

import pytest
from session_client import Admin, AsyncAdmin, AsyncSessionClient, SessionClient

from tests.support.house_rules import ROOT

CLIENT = ROOT / "client"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The script, which lies outside of all packages."""
    spec = importlib.util.spec_from_file_location("generate_sync", CLIENT / "generate_sync.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_code_is_up_to_date(generator: ModuleType) -> None:
    """Generating again changes nothing: nobody edited the result or forgot `make sync-client`."""
    for path, text in generator.generated().items():
        assert path.read_text("utf-8") == text, path.name


def test_every_asynchronous_module_has_its_twin(generator: ModuleType) -> None:
    """There is no synchronous module that the generator does not make."""
    assert set(generator.generated()) == set((CLIENT / "session_client").glob("_sync_*.py"))


def test_nothing_asynchronous_is_left(generator: ModuleType) -> None:
    """The synchronous modules neither wait nor say that they do."""
    for text in generator.generated().values():
        body = text.partition("\n")[2].lower()
        assert "async" not in body
        assert "await" not in body
        assert "event loop" not in body


@pytest.mark.parametrize(
    ("asynchronous", "synchronous"),
    [(AsyncSessionClient, SessionClient), (AsyncAdmin, Admin)],
    ids=["client", "admin"],
)
def test_both_clients_have_the_same_surface(asynchronous: type, synchronous: type) -> None:
    """The same methods with the same parameters: moving between the two adds or removes `await`."""
    surfaces = []
    for kind in (asynchronous, synchronous):
        methods = {name: method for name, method in vars(kind).items() if not name.startswith("_")}
        surfaces.append({name: list(inspect.signature(one).parameters) for name, one in methods.items()})

    assert surfaces[0] == surfaces[1]
