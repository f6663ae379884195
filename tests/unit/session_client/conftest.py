"""A service whose answers the test writes, both clients of it and both verifiers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from session_client import AsyncSessionClient

from tests.support.clients import OpenClient, open_async_client, open_sync_client
from tests.support.scripted_service import ScriptedService
from tests.support.verifiers import OpenVerifier, open_async_verifier, open_threads_verifier


@pytest.fixture(params=["async", "sync"])
def open_client(request: pytest.FixtureRequest) -> OpenClient:
    """Opens a client, asynchronous and then synchronous; the arguments are the client's own."""
    return open_async_client if request.param == "async" else open_sync_client


@pytest.fixture(params=["async", "threads"])
def open_verifier(request: pytest.FixtureRequest) -> OpenVerifier:
    """Opens a verifier, for asyncio and then for threads; the arguments are the verifier's own."""
    return open_async_verifier if request.param == "async" else open_threads_verifier


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    """A service whose answers the test writes."""
    with ScriptedService() as running:
        yield running


@pytest.fixture
async def client(open_client: OpenClient, service: ScriptedService) -> AsyncIterator[AsyncSessionClient]:
    """A client of that service, asynchronous and then synchronous."""
    async with open_client(service.target, service_key="the-key") as opened:
        yield opened
