"""Dependencies for FastAPI, behind ``SessionMiddleware``.

To be used like this::

    app = FastAPI()
    app.add_middleware(SessionMiddleware, verify=verifier.verify, public=["/docs", "/openapi.json"])

    @app.get("/me")
    async def me(identity: CurrentIdentity) -> str:
        return identity.username

    @app.delete("/orders/{number}", dependencies=[requires_role("admin")])
    async def delete(number: int) -> None: ...

The only module of the client that imports FastAPI.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends

from session_client._current import current_identity, is_identified, require_role
from session_client._results import Identity

__all__ = ["CurrentIdentity", "requires_role"]


async def _identity() -> Identity:
    return current_identity()


CurrentIdentity = Annotated[Identity, Depends(_identity)]
"""A parameter of this type is who makes the request; ``NoIdentity`` on a public path."""


def requires_role(*any_of: str) -> Any:  # noqa: ANN401 - as FastAPI's own Depends
    """A dependency that lets only users with one of these roles pass; others get 403.

    For ``dependencies=[…]`` or ``Annotated[Identity, …]``. By itself it checks nothing: within a handler
    it is ``require_role`` that does.

    Raises:
        ValueError: no role was named.
        RuntimeError: called while a request is answered, where it would check nothing.
    """
    if not any_of:
        raise ValueError("name at least one role")
    if is_identified():
        raise RuntimeError("requires_role belongs among a route's dependencies; here, call require_role")

    async def check() -> Identity:
        return require_role(*any_of)

    return Depends(check)
