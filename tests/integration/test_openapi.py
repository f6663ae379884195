"""What REST promises in its OpenAPI document, asked of a running service."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import ENGINES, services_on
from tests.support.rest import RestClient, answer, rest_service


@pytest.fixture(params=ENGINES)
def service(request: pytest.FixtureRequest) -> Iterator[RestClient]:
    """A service that throttles nobody."""
    throttling = dict.fromkeys(("per_address", "per_account", "per_account_and_address"), 1_000_000)
    with services_on(request.param), rest_service(throttling=throttling) as client:
        yield client


def test_the_document_is_served(service: RestClient) -> None:
    """As JSON, to whoever asks."""
    document = answer(service.call("GET", "/openapi.json"))
    assert document["openapi"] == "3.1.0"
    assert "/v1/login" in document["paths"]


@pytest.mark.slow
def test_nothing_undocumented_is_answered(service: RestClient) -> None:
    """Schemathesis asks every path, rightly and wrongly: no 5xx, no status, type or shape not promised.

    Left out is the check that whatever fits the schemas is accepted: limits such as a password's least
    length are in the comments alone.
    """
    token = service.open_session("asker")["access_token"]
    ended = subprocess.run(
        [
            *(Path(sys.executable).parent / "schemathesis", "run"),
            f"http://{service.service.http_address}/openapi.json",
            *("--header", f"x-service-key: {service.service.admin_key}"),
            *("--header", f"authorization: Bearer {token}"),
            *("--phases", "coverage,fuzzing", "--max-examples", "3", "--seed", "1"),
            *("--exclude-checks", "positive_data_acceptance", "--suppress-health-check", "all"),
            *("--generation-database", "none"),
        ],
        cwd=service.service.directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
