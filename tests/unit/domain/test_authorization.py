"""The decision for gateways: public paths, tokens, roles, and that nothing else lets a request through."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from session_service.domain.authorization import Authorization
from session_service.domain.credentials import Credentials
from session_service.domain.errors import (
    RoleRequired,
    SessionEnded,
    SessionServiceError,
    StoreUnavailable,
    TokenInvalid,
    TokenMissing,
)
from session_service.domain.models import Identity
from session_service.domain.public_paths import PublicPaths

ADA = Identity("u-1", "s-1", "ada", ("editor", "reader"), 1, 2, 3)


@dataclass
class Check:
    """Knows one token, or fails."""

    fault: Exception | None = None
    asked: list[str] = field(default_factory=list)

    async def check(self, token: str) -> Identity:
        """Whose token it is."""
        self.asked.append(token)
        if self.fault:
            raise self.fault
        if token != "good":
            raise TokenInvalid
        return ADA


def _authorization(check: Check) -> Authorization:
    paths = PublicPaths(["/login", "/static/*"])
    return Authorization(check, Credentials("session"), paths)  # type: ignore[arg-type]


async def _decide(
    authorization: Authorization, target: str, header: str | None, cookie: str | None, role: str | None
) -> Identity | None:
    return await authorization.outcome_of(authorization.asked(target, header, cookie, role))


@pytest.mark.parametrize(("header", "cookie"), [("Bearer good", None), (None, "session=good")])
async def test_a_good_token_lets_through(header: str | None, cookie: str | None) -> None:
    """From the header or the cookie, the answer is who it is."""
    assert await _decide(_authorization(Check()), "/x", header, cookie, None) == ADA


async def test_a_public_path_needs_no_token() -> None:
    """A token that comes along is not even looked at, and nobody is known by it."""
    check = Check(StoreUnavailable())
    for header in (None, "Bearer good", "Bearer bad", "Basic x"):
        assert await _decide(_authorization(check), "/static/x", header, None, "admin") is None
    assert not check.asked


@pytest.mark.parametrize(
    ("header", "error"), [(None, TokenMissing), ("Bearer bad", TokenInvalid), ("Basic x", TokenInvalid)]
)
async def test_any_other_path_needs_one(header: str | None, error: type[Exception]) -> None:
    """Missing and bad tokens are told apart."""
    for target in ("/x", "/static/../x", ""):
        with pytest.raises(error):
            await _decide(_authorization(Check()), target, header, None, None)


@pytest.mark.parametrize("fault", [StoreUnavailable(), SessionEnded(), RuntimeError("unforeseen")])
async def test_what_the_check_says_stands(fault: Exception) -> None:
    """A fault is not turned into a yes, nor into another no (I5)."""
    with pytest.raises(type(fault)):
        await _decide(_authorization(Check(fault)), "/x", "Bearer good", None, None)


async def test_a_role() -> None:
    """Who has it passes; who has not is told which; nobody has the empty one."""
    authorization = _authorization(Check())
    assert await _decide(authorization, "/x", "Bearer good", None, "reader") == ADA
    for role in ("admin", "", "read", "editor,reader"):
        with pytest.raises(RoleRequired) as refused:
            await _decide(authorization, "/x", "Bearer good", None, role)
        assert refused.value.metadata == {"role": role}


async def test_a_role_is_looked_for_after_the_token() -> None:
    """Who is not logged in learns nothing of roles."""
    with pytest.raises(SessionServiceError) as refused:
        await _decide(_authorization(Check()), "/x", "Bearer bad", None, "admin")
    assert isinstance(refused.value, TokenInvalid)


@pytest.mark.parametrize(("paths", "looks"), [([], False), (["/login"], True), (["/static/*"], True)])
def test_paths_are_looked_at_where_any_is_public(paths: list[str], looks: bool) -> None:
    """Gateways need not be asked for the path else."""
    authorization = Authorization(Check(), Credentials(None), PublicPaths(paths))  # type: ignore[arg-type]
    assert authorization.looks_at_paths is looks
