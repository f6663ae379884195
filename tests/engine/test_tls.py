"""TLS: versions, ALPN, clients' certificates, renewal, and what is no TLS."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.engine.carrier import ECHO, Carrier
from tests.engine.wire import Frames, fields, frames, message, plain
from tests.engine.wire import grpc as call_of
from tests.support.certificates import CertificateAuthority, IssuedCertificate
from tests.support.waiting import eventually_async

Carry = Callable[..., Carrier]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """Whom both ends believe."""
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def issued(authority: CertificateAuthority) -> IssuedCertificate:
    """The server's certificate."""
    return authority.issue("server")


def _use(
    carrier: Carrier, issued: IssuedCertificate, roots: Path | None = None, *, required: bool = False
) -> None:
    pem = roots.read_bytes() if roots else None
    carrier.engine.use_certificate(
        issued.certificate.read_bytes(), issued.key.read_bytes(), pem, required=required
    )


def _client(
    authority: CertificateAuthority, *alpn: str, certificate: IssuedCertificate | None = None
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if certificate:
        context.load_cert_chain(certificate.certificate, certificate.key)
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_versions_serve_both_protocols(
    carry: Carry, authority: CertificateAuthority, issued: IssuedCertificate, version: ssl.TLSVersion
) -> None:
    """Both versions serve both protocols."""
    carrier = carry()
    _use(carrier, issued)
    context = _client(authority, "h2", "http/1.1")
    context.minimum_version = context.maximum_version = version
    async with frames(carrier, ssl=context, server_hostname="localhost") as client:
        assert _protocol(client) == "h2"
        assert await client.answer(await client.request(call_of(ECHO), message(b"a" * 30_000)))
    async with plain(carrier, ssl=_client(authority, "http/1.1"), server_hostname="localhost") as connection:
        assert (await connection.get("/x")).status == 200
    # Without ALPN the first bytes say it.
    async with frames(carrier, ssl=_client(authority), server_hostname="localhost") as client:
        assert await client.answer(await client.request(fields()))
    assert all(call.secure and call.certificate() is None for call in carrier.calls)


def _protocol(client: Frames) -> str | None:
    found: ssl.SSLObject = client.connection.writer.get_extra_info("ssl_object")
    return found.selected_alpn_protocol()


async def test_old_versions_are_refused(
    carry: Carry, authority: CertificateAuthority, issued: IssuedCertificate
) -> None:
    """Old versions are refused."""
    carrier = carry()
    _use(carrier, issued)
    context = _client(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    # Deprecated; that is the point.
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"(?i)version|protocol|handshake"):
        async with plain(carrier, ssl=context, server_hostname="localhost"):
            pass
    await eventually_async(lambda: carrier.count("failed_handshakes") == 1)


async def test_a_client_certificate_is_asked_for_and_verified(
    carry: Carry, authority: CertificateAuthority, issued: IssuedCertificate, tmp_path: Path
) -> None:
    """A client certificate is asked for and verified."""
    carrier = carry()
    mine = authority.issue("client")
    stranger = CertificateAuthority(tmp_path, "Stranger").issue("client")
    for required in (False, True):
        _use(carrier, issued, authority.certificate, required=required)
        context = _client(authority, certificate=mine)
        async with frames(carrier, ssl=context, server_hostname="localhost") as client:
            assert await client.answer(await client.request(fields()))
        der = x509.load_pem_x509_certificate(mine.certificate.read_bytes()).public_bytes(Encoding.DER)
        assert carrier.calls[-1].certificate() == der
        assert not await _served(carrier, _client(authority, certificate=stranger))
        assert await _served(carrier, _client(authority)) is not required
    await eventually_async(lambda: carrier.count("failed_handshakes") == 3)


async def _served(carrier: Carrier, context: ssl.SSLContext) -> bool:
    """Whether a request is answered; with TLS 1.3 a client learns only then that it was refused."""
    try:
        async with plain(carrier, ssl=context, server_hostname="localhost") as connection:
            return (await connection.get("/x")).status == 200
    except (OSError, EOFError):
        return False


async def test_a_renewed_certificate_is_served_to_new_connections(
    carry: Carry, authority: CertificateAuthority, issued: IssuedCertificate
) -> None:
    """A renewed certificate is served to new connections."""
    carrier = carry()
    _use(carrier, issued)
    context = _client(authority)
    async with plain(carrier, ssl=context, server_hostname="localhost") as before:
        first = before.writer.get_extra_info("peercert")["serialNumber"]
        _use(carrier, authority.issue("renewed"))
        async with plain(carrier, ssl=context, server_hostname="localhost") as after:
            assert after.writer.get_extra_info("peercert")["serialNumber"] != first
        assert (await before.get("/x")).status == 200


async def test_a_bad_pair_is_an_error_and_the_old_one_is_served_on(
    carry: Carry, authority: CertificateAuthority, issued: IssuedCertificate
) -> None:
    """A bad pair is an error and the old one is served on."""
    carrier = carry()
    _use(carrier, issued)
    chain, key = issued.certificate.read_bytes(), issued.key.read_bytes()
    other = authority.issue("other").key.read_bytes()
    bad = [(chain, other, None), (b"", key, None), (chain, b"", None), (chain, key, b""), (key, chain, None)]
    bad += [
        (chain[:-40], key, None),
        (chain, key, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
    ]
    for pair in bad:
        with pytest.raises(ValueError, match=r"\w") as refused:
            carrier.engine.use_certificate(*pair, required=False)
        assert key.split(b"\n")[1].decode() not in str(refused.value)
    assert await _served(carrier, _client(authority))


async def test_slow_handshakes_are_bounded(carry: Carry, issued: IssuedCertificate) -> None:
    """Slow handshakes are bounded."""
    carrier = carry(handshake_seconds=0.2)
    _use(carrier, issued)
    for begun in (b"", b"\x16\x03\x01\x02\0\x01"):
        began = time.monotonic()
        async with plain(carrier) as connection:
            await connection.send(begun)
            assert await connection.rest() == b""
        assert 0.15 < time.monotonic() - began < 1
    await eventually_async(lambda: carrier.count("failed_handshakes") == 2)


async def test_plain_text_is_refused_where_tls_is_spoken(
    carry: Carry, authority: CertificateAuthority, issued: IssuedCertificate
) -> None:
    """Plain text is refused where TLS is spoken."""
    carrier = carry()
    _use(carrier, issued)
    async with plain(carrier) as connection:
        await connection.send(b"GET /x HTTP/1.1\r\nhost: h\r\n\r\n")
        assert b"HTTP" not in await connection.rest()
    async with frames(carrier) as client:
        await client.request(fields())
        await client.ended()
    await eventually_async(lambda: carrier.count("failed_handshakes") == 2)
    assert await _served(carrier, _client(authority))


async def test_tls_is_refused_where_plain_text_is_spoken(
    carry: Carry, authority: CertificateAuthority
) -> None:
    """TLS is refused where plain text is spoken."""
    carrier = carry()
    assert not await _served(carrier, _client(authority))
    await eventually_async(lambda: carrier.count("malformed") == 1)


async def test_a_large_answer_over_tls(
    carry: Carry, authority: CertificateAuthority, issued: IssuedCertificate
) -> None:
    """A large answer over TLS."""
    carrier = carry()
    _use(carrier, issued)
    async with plain(carrier, ssl=_client(authority), server_hostname="localhost") as connection:
        assert len((await connection.get("/big?3000000")).body) == 3_000_000
        bodies = [json.loads((await connection.get("/x")).body)["path"] for _ in range(3)]
    assert bodies == ["/x"] * 3


async def test_a_client_that_takes_nothing_over_tls_is_ended(
    carry: Carry, authority: CertificateAuthority, issued: IssuedCertificate
) -> None:
    """A client that takes nothing over TLS is ended."""
    carrier = carry(ping_timeout_seconds=0.4)
    _use(carrier, issued)
    context = _client(authority)
    async with plain(carrier, ssl=context, server_hostname="localhost") as connection:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await connection.send(b"GET /big?30000000 HTTP/1.1\r\nhost: h\r\n\r\n")
        await eventually_async(lambda: carrier.calls)
        await eventually_async(lambda: carrier.count("connections") == 0)
    assert carrier.count("timed_out") == 1
