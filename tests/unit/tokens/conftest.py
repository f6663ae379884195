"""Keys of every algorithm, made once, and tokens under each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from session_service.domain.models import AccessClaims
from session_service.tokens.access import JwtAccessTokens
from session_service.tokens.algorithms import KINDS
from session_service.tokens.jwk import new_key
from session_service.tokens.keys import KeyRing
from tests.support.tokens import NOW, SetClock

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture(scope="session")
def jwks() -> Mapping[str, dict[str, Any]]:
    """A private key of each algorithm; its ``kid`` is the algorithm in lower case."""
    return {alg: new_key(alg) | {"kid": alg.lower()} for alg in KINDS}


@pytest.fixture(scope="session")
def refresh_jwk() -> dict[str, Any]:
    """The key of the refresh ring."""
    return new_key("HS256") | {"kid": "refresh-1"}


@pytest.fixture(scope="session", params=KINDS)
def ring(
    request: pytest.FixtureRequest, jwks: Mapping[str, dict[str, Any]], refresh_jwk: dict[str, Any]
) -> KeyRing:
    """A ring in which the algorithm under test signs and the other three verify."""
    others = [jwk for alg, jwk in jwks.items() if alg != request.param]
    return KeyRing.from_document(
        {"access": {"keys": [jwks[request.param], *others]}, "refresh": {"keys": [refresh_jwk]}}
    )


@pytest.fixture
def clock() -> SetClock:
    """A clock at ``NOW``."""
    return SetClock()


@pytest.fixture
def tokens(ring: KeyRing, clock: SetClock) -> JwtAccessTokens:
    """Access tokens under each algorithm in turn."""
    return JwtAccessTokens(ring, "https://issuer.test", "backends", clock, leeway=5)


@pytest.fixture(scope="session")
def claims() -> AccessClaims:
    """Claims that hold at ``NOW`` and for 30 minutes."""
    return AccessClaims("user.1", "s" * 22, "t" * 22, NOW, NOW + 1800)
