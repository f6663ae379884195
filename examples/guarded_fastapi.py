# ruff: noqa: INP001 - a script
"""A FastAPI application that only logged-in users can use; one of its paths needs a role.

Needs fastapi and uvicorn. With ``make run`` in another terminal::

    set -a; . .session-service/dev.env; set +a
    .venv/bin/python examples/guarded_fastapi.py

Then, in a third one, with a ``TOKEN`` as README.md gets it::

    curl -i -H "authorization: Bearer $TOKEN" http://127.0.0.1:8000/me
    curl -i -H "authorization: Bearer $TOKEN" http://127.0.0.1:8000/secret

``.venv/bin/session-service --dev user roles demo admin`` lets the user see the secret as well, at once;
``LISTEN=127.0.0.1:8001`` takes another port.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from session_client import AsyncSessionClient, AsyncTokenVerifier, Identity, SessionMiddleware
from session_client.fastapi import CurrentIdentity, requires_role


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep one verifier while the application runs."""
    async with (
        AsyncSessionClient(os.environ["SESSION_ADDRESS"]) as sessions,
        AsyncTokenVerifier(sessions, max_staleness=1.0) as verifier,
    ):
        app.state.verifier = verifier
        yield


async def verify(access_token: str) -> Identity:
    """Ask the verifier, which is there once the application has started."""
    verifier: AsyncTokenVerifier = app.state.verifier
    return await verifier.verify(access_token)


app = FastAPI(lifespan=lifespan)
app.add_middleware(SessionMiddleware, verify=verify, public=["/healthy"])


@app.get("/healthy")
async def healthy() -> str:
    """Tell anybody."""
    return "yes"


@app.get("/me")
async def me(identity: CurrentIdentity) -> str:
    """Tell users their name."""
    return identity.username


@app.get("/secret", dependencies=[requires_role("admin")])
async def secret() -> int:
    """Tell administrators something."""
    return 42


if __name__ == "__main__":
    host, _, port = os.environ.get("LISTEN", "127.0.0.1:8000").rpartition(":")
    uvicorn.run(app, host=host, port=int(port))
