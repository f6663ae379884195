"""Connections: what is repeated, how load is spread, TLS, and what the server bears."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from session_api.v1 import session_service_pb2 as pb
from session_client import ServiceUnavailable, Tls
from session_client._channel import OPTIONS, READS, REPEATABLE_CHANGES

from session_service.domain import errors
from session_service.engines.grpc_aio import FIXED_OPTIONS
from tests.support import eventually_async
from tests.support.certificates import CertificateAuthority, IssuedCertificate
from tests.support.scripted_service import METHODS, Refused, ScriptedService, rpc_names

if TYPE_CHECKING:
    from session_client import AsyncSessionClient

    from tests.support.clients import OpenClient

AWAY = errors.StoreUnavailable()


def _names(methods: dict[str, tuple[str, ...]]) -> set[str]:
    return {f"/{service}/{name}" for service, names in methods.items() for name in names}


def test_reads_are_the_rpcs_that_change_nothing() -> None:
    """The RPCs that are repeated as reads are all that verify, get or list, and no other."""
    named = ("Verify", "BatchVerify", "Get", "List")
    reads = {path for path, method in METHODS.items() if method.name.startswith(named)}

    assert _names(READS) == reads
    assert METHODS.keys() >= _names(REPEATABLE_CHANGES)


@pytest.mark.parametrize("outage", [AWAY, Refused(grpc.StatusCode.UNAVAILABLE)], ids=["store", "bare"])
async def test_reads_survive_a_short_outage(
    client: AsyncSessionClient, service: ScriptedService, outage: Exception
) -> None:
    """A check that meets a service away for a moment is made up to three times."""
    service.script("VerifyToken", outage, outage, pb.VerifyTokenResponse(user_id="u1"))

    assert (await client.verify_token("at")).user_id == "u1"
    assert service.count("VerifyToken") == 3


async def test_reads_give_up(client: AsyncSessionClient, service: ScriptedService) -> None:
    """After three attempts a check is unavailable, with the service's waiting time."""
    service.script("VerifyToken", AWAY)

    with pytest.raises(ServiceUnavailable) as caught:
        await client.verify_token("at")
    assert service.count("VerifyToken") == 3
    assert caught.value.retry_after is not None
    assert caught.value.reason == "STORE_UNAVAILABLE"


async def test_other_failures_are_final(client: AsyncSessionClient, service: ScriptedService) -> None:
    """Only UNAVAILABLE is repeated: an answer is an answer."""
    service.script("VerifyToken", Refused(grpc.StatusCode.INTERNAL))

    with pytest.raises(Exception, match="refused"):
        await client.verify_token("at")
    assert service.count("VerifyToken") == 1


async def test_changes_are_never_sent_twice(client: AsyncSessionClient, service: ScriptedService) -> None:
    """A change that may have been carried out is for the caller to decide about."""
    calls = {
        "LogoutAll": client.logout_all("at"),
        "RevokeSession": client.revoke_session("at", "s1"),
        "ChangePassword": client.change_password("at", "old", "new"),
        "CreateUser": client.admin.create_user("ann", "pw"),
        "SetPassword": client.admin.set_password("u1", "pw"),
        "SetUserRoles": client.admin.set_user_roles("u1", ["r"]),
        "SetUserDisabled": client.admin.set_user_disabled("u1", disabled=True),
        "DeleteUser": client.admin.delete_user("u1"),
        "RevokeUserSession": client.admin.revoke_user_session("u1", "s1"),
        "RevokeUserSessions": client.admin.revoke_user_sessions("u1"),
        "CleanUpSessions": client.admin.clean_up_sessions(),
    }
    others = _names(READS) | _names(REPEATABLE_CHANGES)
    assert calls.keys() == set(rpc_names()) - {path.rpartition("/")[2] for path in others}
    for name, call in calls.items():
        service.script(name, AWAY)
        with pytest.raises(ServiceUnavailable):
            await call
        assert service.count(name) == 1, name


async def test_a_login_is_repeated_once_under_one_request_id(
    client: AsyncSessionClient, service: ScriptedService
) -> None:
    """A login whose reply is lost is made once more, as the same one, so that one session begins."""
    service.script("Login", AWAY, pb.LoginResponse(session_id="s1"))

    assert (await client.login("ann", "pw")).session_id == "s1"
    first, second = service.calls
    assert first.request.request_id == second.request.request_id != ""


async def test_repeatable_changes_give_up_after_two(
    client: AsyncSessionClient, service: ScriptedService
) -> None:
    """A change that may be repeated is so once."""
    calls = {
        "Login": client.login("ann", "pw"),
        "RefreshToken": client.refresh_token("rt"),
        "Logout": client.logout("at"),
        "CreateSession": client.admin.create_session("u1", "ann"),
    }
    assert len(calls) == len(_names(REPEATABLE_CHANGES))
    for name, call in calls.items():
        service.script(name, AWAY)
        with pytest.raises(ServiceUnavailable):
            await call
        assert service.count(name) == 2, name


async def test_a_lost_reply_of_logout_is_done(client: AsyncSessionClient, service: ScriptedService) -> None:
    """A logout whose first reply is lost meets its own effect the second time, and that is success."""
    service.script("Logout", AWAY, errors.SessionEnded())

    await client.logout("at")
    assert service.count("Logout") == 2


async def test_repetition_stops_in_a_long_outage(
    client: AsyncSessionClient, service: ScriptedService
) -> None:
    """While most calls fail, they are made once only: retries would help to keep the service down."""
    service.script("ListSessions", AWAY)
    await asyncio.gather(*(client.list_sessions("at") for _ in range(50)), return_exceptions=True)
    before = service.count("ListSessions")
    with pytest.raises(ServiceUnavailable):
        await client.list_sessions("at")

    assert service.count("ListSessions") == before + 1


async def test_a_service_that_comes_back_is_found(
    client: AsyncSessionClient, service: ScriptedService
) -> None:
    """After a restart on the same address calls succeed again within seconds, without a new client."""
    await client.verify_token("at")
    await asyncio.to_thread(service.stop)
    with pytest.raises(ServiceUnavailable):
        await client.verify_token("at")
    service.start()

    async def answers() -> bool:
        try:
            await client.verify_token("at")
        except ServiceUnavailable:
            return False
        return True

    await eventually_async(answers)


async def test_load_is_spread(open_client: OpenClient) -> None:
    """Calls go to all addresses of the target in turn, and around one that has gone."""
    with ExitStack() as stack:
        services = [stack.enter_context(ScriptedService()) for _ in range(2)]
        target = "ipv4:" + ",".join(service.target for service in services)
        async with open_client(target) as client:

            async def both_called() -> bool:
                await client.verify_token("at")
                return all(service.calls for service in services)

            await eventually_async(both_called)
            for service in services:
                service.calls.clear()
            for _ in range(10):
                await client.verify_token("at")
            assert [len(service.calls) for service in services] == [5, 5]

            await asyncio.to_thread(services[0].stop)
            for _ in range(10):
                await client.verify_token("at")
            assert len(services[1].calls) == 15


def test_pings_stay_within_what_the_server_allows() -> None:
    """The client's keepalive is slower than the pings a server would count as strikes."""
    client: dict[str, Any] = dict(OPTIONS)
    server = dict(FIXED_OPTIONS)

    assert client["grpc.keepalive_time_ms"] > server["grpc.http2.min_recv_ping_interval_without_data_ms"]
    assert client["grpc.keepalive_permit_without_calls"] <= server["grpc.keepalive_permit_without_calls"]


def test_outages_are_noticed_and_their_end_too() -> None:
    """A dead connection is given up within 25 s, used or not, and a new one tried every 5 s at least."""
    options: dict[str, Any] = dict(OPTIONS)

    assert options["grpc.keepalive_time_ms"] + options["grpc.keepalive_timeout_ms"] <= 25_000
    assert options["grpc.keepalive_permit_without_calls"] == 1
    assert options["grpc.http2.max_pings_without_data"] == 0
    assert options["grpc.initial_reconnect_backoff_ms"] < 1_000
    assert options["grpc.max_reconnect_backoff_ms"] <= 5_000
    assert options["grpc.min_reconnect_backoff_ms"] <= 5_000


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    """Signs the certificates of a test."""
    return CertificateAuthority(tmp_path)


def _serve(issued: IssuedCertificate, client_roots: Path | None = None) -> ScriptedService:
    """A service over TLS, which demands a client certificate where it has roots for one."""
    pair = (issued.key.read_bytes(), issued.certificate.read_bytes())
    roots = client_roots.read_bytes() if client_roots else None
    return ScriptedService(grpc.ssl_server_credentials([pair], roots, require_client_auth=bool(roots)))


async def test_tls(open_client: OpenClient, authority: CertificateAuthority) -> None:
    """Over TLS the client trusts the given roots, and the service needs no more than a certificate."""
    with _serve(authority.issue("service")) as service:
        async with open_client(service.target, tls=Tls(authority.certificate)) as client:
            await client.verify_token("at")
    assert service.count("VerifyToken") == 1


async def test_tls_with_the_wrong_roots(
    open_client: OpenClient, authority: CertificateAuthority, tmp_path: Path
) -> None:
    """A service under another authority is not the service: nothing is sent to it."""
    other = tmp_path / "other"
    other.mkdir()
    with _serve(authority.issue("service")) as service:
        for tls in (Tls(CertificateAuthority(other, "Other").certificate), Tls(), None):
            async with open_client(service.target, tls=tls) as client:
                with pytest.raises(ServiceUnavailable):
                    await client.verify_token("at")
        assert not service.calls


async def test_mutual_tls(open_client: OpenClient, authority: CertificateAuthority) -> None:
    """Where the service demands a certificate, a client with one gets in and one without does not."""
    own = authority.issue("client")
    with _serve(authority.issue("service"), authority.certificate) as service:
        async with open_client(service.target, tls=Tls(authority.certificate)) as client:
            with pytest.raises(ServiceUnavailable):
                await client.verify_token("at")
        tls = Tls(authority.certificate, own.certificate, own.key)
        async with open_client(service.target, tls=tls) as client:
            await client.verify_token("at")
        assert service.count("VerifyToken") == 1


@pytest.mark.parametrize("content", [b"", b"not a certificate"])
@pytest.mark.parametrize("place", ["ca_file", "cert_file", "key_file"])
def test_a_file_that_is_not_pem(
    authority: CertificateAuthority, tmp_path: Path, place: str, content: bytes
) -> None:
    """A certificate file cut short by its rotation is an error, not the system's roots or a crash."""
    own = authority.issue("client")
    wrong = tmp_path / "wrong.pem"
    wrong.write_bytes(content)
    files = {"ca_file": authority.certificate, "cert_file": own.certificate, "key_file": own.key}
    with pytest.raises(ValueError, match=r"wrong\.pem is not a PEM file"):
        Tls(**(files | {place: wrong})).credentials()


def test_half_a_client_certificate() -> None:
    """A certificate without its key is a mistake that shows at once, not at the first call."""
    with pytest.raises(ValueError, match="both cert_file and key_file"):
        Tls(cert_file=Path("client.pem"))
