"""What a query may say, and what HTTP says where Envoy's transcoder makes no answer."""

from __future__ import annotations

import json

import grpc
import pytest

from session_service.rpc.engines.envoy_rest import check_query
from session_service.rpc.http.status import http_failure
from session_service.rpc.refusals import MalformedError


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/sessions"),
        ("GET", "/v1/sessions?"),
        ("GET", "/v1/sessions?page_size=5&page_token=x"),
        ("GET", "/v1/sessions?pageSize=5&pageToken="),
        ("POST", "/v1/login"),
        ("POST", "/v1/login?"),
        ("DELETE", "/v1/sessions/x"),
    ],
)
def test_which_page_may_be_asked_for(method: str, path: str) -> None:
    """By either spelling of the fields, by GET."""
    check_query(method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/admin/users/a?user_id=b"),
        ("GET", "/v1/admin/users/a?user%5Fid=b"),
        ("GET", "/v1/admin/users/a?user_id"),
        ("GET", "/v1/admin/users/a?page_size=5&user_id=b"),
        ("GET", "/v1/admin/users/a?page_size.x=5"),
        ("DELETE", "/v1/admin/users/a?page_size=5"),
        ("POST", "/v1/login?password=x"),
        ("", "/v1/sessions?page_size=5"),
    ],
)
def test_nothing_else_may_be_in_a_query(method: str, path: str) -> None:
    """However a name is written; a path says whom a request is about, and no other part may say otherwise."""
    with pytest.raises(MalformedError, match="page_size and page_token") as error:
        check_query(method, path)
    assert error.value.field == "query"


def test_a_failure_is_a_status() -> None:
    """The JSON of google.rpc.Status, as the transcoder prints it."""
    response = http_failure(404, grpc.StatusCode.NOT_FOUND, "no such path")
    assert response.status == 404
    assert dict(response.headers) == {"content-type": "application/json"}
    assert json.loads(response.body) == {"code": 5, "message": "no such path", "details": []}
