"""What holds for every RPC there is, so that a new one cannot be left out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf import message_factory
from session_api.v1 import admin_service_pb2, session_service_pb2
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.error_reason_pb2 import ErrorReason

from session_service.domain import errors
from tests.support import RedisServer, eventually_async
from tests.support.errors import Failure
from tests.support.in_process import PASSWORD, ServiceUnderTest, bearer
from tests.support.outcomes import is_away

Serve: TypeAlias = Callable[..., Awaitable[ServiceUnderTest]]
SERVICES: Final = (
    session_service_pb2.DESCRIPTOR.services_by_name["SessionService"],
    admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
)
LIMIT = 3.0
# They are OK themselves, and tell of each token by itself.
OF_EACH_TOKEN: Final = {"BatchVerifyTokens", "WatchTokens"}
# For every field of a request that needs a value; a field of the same name means the same everywhere.
VALUES: dict[str, Any] = {
    "username": "ada",
    "password": PASSWORD,
    "current_password": PASSWORD,
    "new_password": "another horse's battery",
    "user_id": "u-1",
    "roles": ["reader"],
    "session_id": "s" * 22,
}


async def test_without_redis_every_rpc_is_unavailable(
    start_one_redis: Callable[..., RedisServer], serve: Serve
) -> None:
    """Every method of both services says UNAVAILABLE in time, and after how long to come back (I5).

    So do those that answer for each token: of each.
    """
    server = start_one_redis()
    service = await serve(server)
    opened = await service.open_session()
    server.kill()
    await eventually_async(lambda: is_away(service), timeout=20)
    methods = [method for each in SERVICES for method in each.methods if method.name not in OF_EACH_TOKEN]
    told = {method.name: await _told(service, method, opened) for method in methods}
    assert told == {
        method.name: (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", 1.0) for method in methods
    }
    token = opened.access_token
    batch = await service.sessions.BatchVerifyTokens(
        pb.BatchVerifyTokensRequest(tokens=[token]), timeout=LIMIT
    )
    stream = service.sessions.WatchTokens(
        iter([pb.WatchTokensRequest(verify=pb.WatchTokensRequest.Verify(token=token))]), timeout=LIMIT
    )
    failures = [batch.results[0].failure, *[each.failed.failure async for each in stream]]
    unavailable = pb.CheckFailure(
        code=14, reason=ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, message=errors.StoreUnavailable.message
    )
    unavailable.retry_delay.FromSeconds(1)
    assert failures == [unavailable] * 2


async def _told(service: ServiceUnderTest, method: Any, opened: Any) -> tuple[object, ...]:
    """Status, reason and waiting time that a good call of this method is answered with."""
    kind = message_factory.GetMessageClass(method.input_type)
    values = VALUES | {"refresh_token": opened.refresh_token, "token": opened.access_token}
    request = kind(
        **{field.name: values[field.name] for field in kind.DESCRIPTOR.fields if field.name in values}
    )
    for_users = method.containing_service is SERVICES[0]
    metadata = bearer(opened.access_token) if for_users else service.admin
    call: Any = service.channel.unary_unary(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=kind.SerializeToString,
    )
    failure = Failure()
    try:
        await call(request, metadata=metadata, timeout=LIMIT)
    except grpc.aio.AioRpcError as error:
        failure.read(error)
    return failure.code, failure.reason, failure.retry_seconds
