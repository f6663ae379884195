"""Pages beside gRPC: how many at a time, and that a stop waits for them."""

from __future__ import annotations

import asyncio

from session_service.rpc.engines.envoy_pages import EnvoyPages
from session_service.rpc.http.values import HttpRequest, HttpResponse
from tests.support.asgi import Request

LIMIT = 3


class Slow:
    """A page that answers when it is told to."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()

    async def __call__(self, _: HttpRequest) -> HttpResponse:
        """Wait, then answer."""
        await self.answers.wait()
        return HttpResponse(200, (), b"")


async def test_more_requests_than_allowed_are_told_to_come_again() -> None:
    """Beyond the limit a page is 503 with the time to wait, at once; those in hand are answered."""
    pages, slow = EnvoyPages(LIMIT), Slow()
    pages.add("/slow", slow)
    requests = [Request("/slow", headers={"content-type": None}) for _ in range(LIMIT + 2)]
    answering = [
        asyncio.create_task(pages.answer(each.scope, each.send, lambda _: False)) for each in requests
    ]
    await asyncio.wait(answering[LIMIT:])
    assert pages.under_way == LIMIT
    slow.answers.set()
    await asyncio.gather(*answering)

    starts = [request.sent[0] for request in requests]
    assert [start["status"] for start in starts] == [200] * LIMIT + [503] * 2
    assert (b"retry-after", b"1") in starts[-1]["headers"]
    assert pages.under_way == 0


async def test_closed_pages_answer_no_more() -> None:
    """Nobody gets in hand any more: a stop need not wait for those who ask again and again."""
    pages, slow = EnvoyPages(LIMIT), Slow()
    pages.add("/slow", slow)
    pages.close()
    request = Request("/slow", headers={"content-type": None})
    await pages.answer(request.scope, request.send, lambda _: False)
    assert (request.http_status, request.headers["retry-after"]) == (503, "1")


async def test_a_path_of_grpc_says_so() -> None:
    """JSON on the path of a method is 415, on any other path without a page 404."""
    pages = EnvoyPages(LIMIT)
    for known, status in ((True, 415), (False, 404)):
        request = Request("/s/M", headers={"content-type": "application/json"})
        await pages.answer(request.scope, request.send, {"/s/M": known}.__getitem__)
        assert request.sent[0]["status"] == status
