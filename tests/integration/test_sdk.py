"""Both clients against the whole service and real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from session_client import (
    AdminRequired,
    AsyncSessionClient,
    Device,
    InvalidArgument,
    InvalidCredentials,
    RefreshTokenReused,
    ServiceUnavailable,
    SessionEnded,
    SessionLimitReached,
    SessionNotFound,
    Sweep,
    TokenInvalid,
    TokenMissing,
    TooManyAttempts,
    UsernameTaken,
    UserNotFound,
)

from tests.support import RedisServer, eventually_async
from tests.support.clients import OpenClient, open_async_client, open_sync_client
from tests.support.in_process import ADMIN_KEY, PASSWORD, ServiceUnderTest, in_process
from tests.support.proxy import TcpProxy

if TYPE_CHECKING:
    from session_client import User

# Each test runs on both engines.
pytestmark = pytest.mark.usefixtures("engine")

T = TypeVar("T")


@pytest.fixture(params=["async", "sync"])
def open_client(request: pytest.FixtureRequest) -> OpenClient:
    """Opens a client, asynchronous and then synchronous; the arguments are the client's own."""
    return open_async_client if request.param == "async" else open_sync_client


@pytest.fixture
async def client(open_client: OpenClient, service: ServiceUnderTest) -> AsyncIterator[AsyncSessionClient]:
    """A client of the service that has its admin key."""
    async with open_client(service.address, service_key=ADMIN_KEY) as opened:
        yield opened


@pytest.fixture
async def ada(client: AsyncSessionClient) -> User:
    """A user who can log in with ``PASSWORD``."""
    return await client.admin.create_user("ada", PASSWORD, roles=["author"])


async def test_a_day_of_a_user(client: AsyncSessionClient, ada: User) -> None:
    """Log in on two devices, check, list, end one of them, then log out everywhere."""
    before = datetime.now(UTC)
    phone = await client.login("ADA", PASSWORD, device=Device(name="phone", ip_address="192.0.2.1"))
    laptop = await client.login("ada", PASSWORD, device=Device(name="laptop"))
    assert phone.user == laptop.user == ada
    assert phone.new_device
    assert timedelta(minutes=29) < phone.expires_in <= timedelta(minutes=30)
    assert before < phone.session_expire_time < before + timedelta(hours=25)

    identity = await client.verify_token(phone.access_token)
    assert (identity.user_id, identity.session_id) == (ada.user_id, phone.session_id)
    assert identity.roles == ("author",)

    listed = [session async for session in client.iter_sessions(laptop.access_token)]
    assert {(one.device.name, one.current) for one in listed} == {("phone", False), ("laptop", True)}
    assert "192.0.2.1" in {one.ip_address for one in listed}

    await client.revoke_session(laptop.access_token, phone.session_id)
    with pytest.raises(SessionEnded):
        await client.verify_token(phone.access_token)

    assert await client.logout_all(laptop.access_token) == 1
    with pytest.raises(SessionEnded):
        await client.verify_token(laptop.access_token)
    await client.logout(laptop.access_token)


async def test_a_repeated_login_is_one_session(client: AsyncSessionClient, ada: User) -> None:
    """The request id that the client sends makes a repetition the same session."""
    first = await client.login("ada", PASSWORD, request_id="r1")
    second = await client.login("ada", PASSWORD, request_id="r1")
    other = await client.login("ada", PASSWORD)

    assert first.session_id == second.session_id != other.session_id
    assert (await client.list_sessions(first.access_token)).total_size == 2


async def test_refreshing(client: AsyncSessionClient, ada: User) -> None:
    """Refresh tokens go on and on, a repetition at once gives the same successor, an old one is theft."""
    login = await client.login("ada", PASSWORD)
    second = await client.refresh_token(login.refresh_token)
    assert (await client.refresh_token(login.refresh_token)).refresh_token == second.refresh_token
    third = await client.refresh_token(second.refresh_token)
    await client.verify_token(third.access_token)

    with pytest.raises(RefreshTokenReused):
        await client.refresh_token(login.refresh_token)
    with pytest.raises(SessionEnded):
        await client.verify_token(third.access_token)


async def test_a_changed_password(client: AsyncSessionClient, ada: User) -> None:
    """The new password counts from then on, and the other devices are out."""
    mine, other = await client.login("ada", PASSWORD), await client.login("ada", PASSWORD)
    with pytest.raises(InvalidCredentials):
        await client.change_password(mine.access_token, "wrong", "another good one")

    assert await client.change_password(mine.access_token, PASSWORD, "another good one") == 1
    await client.verify_token(mine.access_token)
    with pytest.raises(SessionEnded):
        await client.verify_token(other.access_token)
    with pytest.raises(InvalidCredentials):
        await client.login("ada", PASSWORD)


async def test_refusals(client: AsyncSessionClient, ada: User) -> None:
    """What the service refuses arrives as the exception that says why."""
    login = await client.login("ada", PASSWORD)
    with pytest.raises(InvalidCredentials):
        await client.login("nobody", PASSWORD)
    with pytest.raises(TokenMissing):
        await client.verify_token("")
    with pytest.raises(TokenInvalid):
        await client.verify_token(login.refresh_token)
    with pytest.raises(SessionNotFound):
        await client.revoke_session(login.access_token, "A" * 22)
    with pytest.raises(UsernameTaken):
        await client.admin.create_user("Ada", PASSWORD)
    with pytest.raises(UserNotFound):
        await client.admin.get_user("nobody")
    with pytest.raises(InvalidArgument) as caught:
        await client.admin.create_user("bob", "short")
    assert [one.field for one in caught.value.violations] == ["password"]
    with pytest.raises(InvalidArgument):
        await client.list_sessions(login.access_token, page_token="made up")
    with pytest.raises(AdminRequired):
        await client.admin_as(login.access_token).get_stats()


async def test_a_guesser_is_slowed_down(client: AsyncSessionClient, ada: User) -> None:
    """Wrong passwords soon meet a waiting time, which the exception carries."""

    async def guess_on() -> None:
        while True:
            with pytest.raises(InvalidCredentials):
                await client.login("ada", "a wrong password", device=Device(ip_address="192.0.2.66"))

    with pytest.raises(TooManyAttempts) as caught:
        await guess_on()
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > timedelta(0)


@pytest.mark.parametrize("key", [None, "not-the-key"])
async def test_admin_without_the_right(
    open_client: OpenClient, service: ServiceUnderTest, key: str | None
) -> None:
    """Without a good service key nothing of AdminService opens."""
    async with open_client(service.address, service_key=key) as stranger:
        with pytest.raises(AdminRequired):
            await stranger.admin.list_users()


async def test_administration(client: AsyncSessionClient, ada: User) -> None:
    """A user's roles, state and sessions follow what an operator sets."""
    admin = client.admin
    assert await admin.get_user(ada.user_id) == await admin.get_user_by_name("ADA") == ada
    assert [user.username async for user in admin.iter_users()] == ["ada"]

    login = await client.login("ada", PASSWORD)
    await admin.set_user_roles(ada.user_id, ["admin"])
    assert (await client.verify_token(login.access_token)).roles == ("admin",)
    assert (await client.admin_as(login.access_token).get_stats()).users == 1

    change = await admin.set_user_disabled(ada.user_id, disabled=True)
    assert (change.user.disabled, change.revoked_count) == (True, 1)
    with pytest.raises(SessionEnded):
        await client.verify_token(login.access_token)
    with pytest.raises(InvalidCredentials):
        await client.login("ada", PASSWORD)

    await admin.set_user_disabled(ada.user_id, disabled=False)
    await admin.set_password(ada.user_id, "another good one")
    login = await client.login("ada", "another good one")
    assert await admin.delete_user(ada.user_id) == 1
    with pytest.raises(SessionEnded):
        await client.verify_token(login.access_token)
    with pytest.raises(UserNotFound):
        await admin.get_user(ada.user_id)


async def test_a_login_proven_elsewhere(client: AsyncSessionClient) -> None:
    """A session for a user of single sign-on is checked, listed and ended like any other."""
    login = await client.admin.create_session("sso|7", "eve", roles=["r"], device=Device(name="tablet"))
    assert login.user.created_time is None
    assert (await client.verify_token(login.access_token)).username == "eve"

    page = await client.admin.list_user_sessions("sso|7")
    assert [(one.session_id, one.device.name) for one in page.items] == [(login.session_id, "tablet")]
    await client.admin.revoke_user_session("sso|7", login.session_id)
    assert await client.admin.revoke_user_sessions("sso|7") == 0
    with pytest.raises(SessionEnded):
        await client.verify_token(login.access_token)


async def test_an_imported_password(client: AsyncSessionClient) -> None:
    """A user brought from elsewhere logs in with the password that the hash is of."""
    django = "pbkdf2_sha256$1000$salt$XkjlbHzEKDL6GdZUn4wNbP7lFg3JhmP0ueJ3OdXyXCs="
    with pytest.raises(InvalidArgument):
        await client.admin.import_user("bob", "plain text")
    await client.admin.import_user("bob", django)
    with pytest.raises(InvalidCredentials):
        await client.login("bob", "wrong")


async def test_many_sessions(client: AsyncSessionClient) -> None:
    """Iteration goes over the largest page that the service gives, and meets each session once."""
    logins = await asyncio.gather(*(client.admin.create_session("u", "eve") for _ in range(120)))
    expected = {login.session_id for login in logins}

    mine = [session.session_id async for session in client.iter_sessions(logins[0].access_token)]
    theirs = [session.session_id async for session in client.admin.iter_user_sessions("u")]
    assert len(mine) == len(theirs) == 120
    assert set(mine) == set(theirs) == expected


async def test_the_sweep(client: AsyncSessionClient) -> None:
    """A sweep says what it looked at; where the service's own one is under way, it waits for its turn."""
    await client.admin.create_session("u", "eve")

    await eventually_async(lambda: _swept(client, Sweep(scanned_entries=1, removed_entries=0)))
    await eventually_async(lambda: _created(client, 1))
    assert (await client.admin.get_stats()).counted_time is not None


async def test_the_limit_of_sessions(
    open_client: OpenClient, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Where the service refuses a further session, the exception says so."""
    policy = {"max_sessions": 1, "on_limit": "reject"}
    async with (
        in_process({"port": redis_server.port}, tmp_path, session=policy) as service,
        open_client(service.address, service_key=ADMIN_KEY) as client,
    ):
        await client.admin.create_session("u", "eve")
        with pytest.raises(SessionLimitReached):
            await client.admin.create_session("u", "eve")


async def test_without_redis(
    open_client: OpenClient, start_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    """A store that is away is unavailable, never "logged out", and with it the same token is good again."""
    redis = start_redis({"appendonly": "yes"})
    async with (
        in_process({"port": redis.port}, tmp_path) as service,
        open_client(service.address, service_key=ADMIN_KEY) as client,
    ):
        login = await client.admin.create_session("u", "eve")
        await asyncio.to_thread(redis.stop)
        for call in (client.verify_token, client.logout, client.list_sessions):
            with pytest.raises(ServiceUnavailable) as caught:
                await call(login.access_token)
            assert caught.value.reason == "STORE_UNAVAILABLE"
            assert caught.value.retry_after is not None
        await asyncio.to_thread(redis.start)
        await eventually_async(lambda: _is_available(client, login.access_token), timeout=30)


async def test_out_on_one_server_is_out_on_all(
    open_client: OpenClient, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Of two servers behind one target, each sees at once what the other has ended."""
    redis = {"port": redis_server.port}
    async with in_process(redis, tmp_path) as one, in_process(redis, tmp_path) as other:
        target = f"ipv4:{one.address},{other.address}"
        async with open_client(target, service_key=ADMIN_KEY) as client:
            for _ in range(10):
                login = await client.admin.create_session("u", "eve")
                await client.verify_token(login.access_token)
                await client.logout(login.access_token)
                for _ in range(2):
                    with pytest.raises(SessionEnded):
                        await client.verify_token(login.access_token)


@pytest.fixture
async def proxy(service: ServiceUnderTest) -> AsyncIterator[TcpProxy]:
    """A proxy in front of the service that loses replies."""
    async with TcpProxy(int(service.address.rpartition(":")[2])) as running:
        yield running


async def _with_a_lost_reply(
    proxy: TcpProxy, service: ServiceUnderTest, method: str, call: Awaitable[T]
) -> T:
    """Make a call that the service carries out, lose the reply, and then break the connection."""
    labels = {"method": f"session.v1.SessionService/{method}", "reason": "OK"}

    def carried_out() -> bool:
        return bool(service.registry.get_sample_value("session_rpc_duration_seconds_count", labels))

    proxy.swallow_replies = True
    waiting = asyncio.ensure_future(call)
    await eventually_async(carried_out, timeout=30)
    proxy.swallow_replies = False
    proxy.cut()
    return await waiting


async def test_a_login_whose_reply_is_lost(
    open_client: OpenClient, service: ServiceUnderTest, proxy: TcpProxy
) -> None:
    """The caller does not notice: the client repeats the login, and there is one session, not two."""
    async with open_client(f"127.0.0.1:{proxy.port}", service_key=ADMIN_KEY) as client:
        await client.admin.create_user("ada", PASSWORD)
        call = client.login("ada", PASSWORD)
        login = await _with_a_lost_reply(proxy, service, "Login", call)
        page = await client.list_sessions(login.access_token)
    assert [session.session_id for session in page.items] == [login.session_id]


async def test_a_refresh_whose_reply_is_lost(
    open_client: OpenClient, service: ServiceUnderTest, proxy: TcpProxy
) -> None:
    """The client repeats it within the grace, gets the same successor, and nobody takes it for a thief."""
    async with open_client(f"127.0.0.1:{proxy.port}", service_key=ADMIN_KEY) as client:
        login = await client.admin.create_session("u", "eve")
        call = client.refresh_token(login.refresh_token)
        tokens = await _with_a_lost_reply(proxy, service, "RefreshToken", call)
        await client.refresh_token(tokens.refresh_token)
        await client.verify_token(tokens.access_token)


async def test_a_logout_whose_reply_is_lost(
    open_client: OpenClient, service: ServiceUnderTest, proxy: TcpProxy
) -> None:
    """The client repeats it, meets its own effect, and calls that done."""
    async with open_client(f"127.0.0.1:{proxy.port}", service_key=ADMIN_KEY) as client:
        login = await client.admin.create_session("u", "eve")
        await _with_a_lost_reply(proxy, service, "Logout", client.logout(login.access_token))
        with pytest.raises(SessionEnded):
            await client.verify_token(login.access_token)


async def test_a_revocation_whose_reply_is_lost(
    open_client: OpenClient, service: ServiceUnderTest, proxy: TcpProxy
) -> None:
    """What may not be repeated blindly is not: the caller learns that nothing is known."""
    async with open_client(f"127.0.0.1:{proxy.port}", service_key=ADMIN_KEY) as client:
        login = await client.admin.create_session("u", "eve")
        call = client.revoke_session(login.access_token, login.session_id)
        with pytest.raises(ServiceUnavailable):
            await _with_a_lost_reply(proxy, service, "RevokeSession", call)
        with pytest.raises(SessionEnded):
            await client.verify_token(login.access_token)


async def _swept(client: AsyncSessionClient, expected: Sweep) -> bool:
    return await client.admin.clean_up_sessions() == expected


async def _created(client: AsyncSessionClient, count: int) -> bool:
    return (await client.admin.get_stats()).created_sessions == count


async def _is_available(client: AsyncSessionClient, access_token: str) -> bool:
    try:
        await client.verify_token(access_token)
    except ServiceUnavailable:
        return False
    return True
