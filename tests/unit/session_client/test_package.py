"""What the package needs, and what it shows."""

from __future__ import annotations

import subprocess
import sys

import session_client

from tests.support.house_rules import ROOT

# Refuses every installed package but the two that the client depends on, then uses the client.
WITH_TWO_PACKAGES = """
import sys
ALLOWED = sys.stdlib_module_names | {"grpc", "google", "session_api", "session_client", "typing_extensions"}

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED or name.startswith(("google.rpc", "google.api")):
            raise ModuleNotFoundError(f"{name} is not for the client", name=name)

sys.meta_path.insert(0, Refuse())
import asyncio
import session_client

async def use():
    async with session_client.AsyncSessionClient("127.0.0.1:1") as client:
        await client.verify_token("t", timeout=30)

def use_sync():
    with session_client.SessionClient("127.0.0.1:1") as client:
        client.verify_token("t", timeout=30)

for call in (lambda: asyncio.run(use()), use_sync):
    try:
        call()
    except session_client.ServiceUnavailable:
        print("unavailable")
print(sorted({name.partition(".")[0] for name in sys.modules} - ALLOWED))
"""


def test_it_needs_grpc_and_protobuf_only() -> None:
    """With nothing else to import, both clients load and call, and none of the server comes along."""
    command = [sys.executable, "-c", WITH_TWO_PACKAGES]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT / "client")

    first, second, beyond = done.stdout.splitlines()
    assert first == second == "unavailable"
    assert "session_service" not in beyond


def test_all_that_is_public_is_listed() -> None:
    """What can be imported from the package is what it declares, and its modules are private."""
    public = {
        name
        for name, value in vars(session_client).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("session_client")
    }

    assert public == set(session_client.__all__)


def test_it_is_typed() -> None:
    """Type checkers of the package's users see its annotations."""
    assert (ROOT / "client" / "session_client" / "py.typed").is_file()
