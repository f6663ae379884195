"""Certificates renewed on disk: found however they are put there, and never taken half."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from session_service.certificate_files import CertificateError, Certificates, CertificateWatch
from tests.support.certificates import CertificateAuthority, IssuedCertificate


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    """An authority."""
    return CertificateAuthority(tmp_path)


@pytest.fixture
def served(authority: CertificateAuthority) -> IssuedCertificate:
    """The files that are watched."""
    return authority.issue("server")


@pytest.fixture
def other(authority: CertificateAuthority) -> IssuedCertificate:
    """A pair to replace it."""
    return authority.issue("other", life=timedelta(days=7))


@pytest.fixture
def watch(authority: CertificateAuthority, served: IssuedCertificate) -> CertificateWatch:
    """What is tested."""
    return CertificateWatch(served.certificate, served.key, authority.certificate)


def _write(served: IssuedCertificate, other: IssuedCertificate) -> None:
    served.certificate.write_bytes(other.certificate.read_bytes())
    served.key.write_bytes(other.key.read_bytes())


def _rename(served: IssuedCertificate, other: IssuedCertificate) -> None:
    other.certificate.replace(served.certificate)
    other.key.replace(served.key)


@pytest.mark.parametrize("replace", [_write, _rename])
def test_a_renewed_pair_is_found(
    watch: CertificateWatch,
    served: IssuedCertificate,
    other: IssuedCertificate,
    replace: Callable[[IssuedCertificate, IssuedCertificate], None],
) -> None:
    """Written over or renamed into place: found once, and given to who uses it."""
    used: list[Certificates] = []
    watch.subscribe(used.append)
    assert watch.load() is None
    replace(served, other)
    found = watch.load()
    assert found is not None
    assert watch.replace(found)
    assert used[1:] == [found] == [watch.current]
    assert used[0].expires < found.expires
    assert watch.load() is None


def test_kubernetes_points_a_link_elsewhere(tmp_path: Path, authority: CertificateAuthority) -> None:
    """The files are links through ``..data``, which is renamed in one step."""
    for number in ("1", "2"):
        issued = authority.issue(f"server-{number}")
        (tmp_path / f"..{number}").mkdir()
        issued.certificate.rename(tmp_path / f"..{number}" / "tls.crt")
        issued.key.rename(tmp_path / f"..{number}" / "tls.key")
    (tmp_path / "..data").symlink_to("..1")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    watch = CertificateWatch(tmp_path / "tls.crt", tmp_path / "tls.key")
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert watch.load() is not None


def test_a_write_that_stat_does_not_show_is_found(watch: CertificateWatch, served: IssuedCertificate) -> None:
    """Size, time and inode are as they were."""
    was = served.certificate.stat()
    pem = served.certificate.read_bytes()
    served.certificate.write_bytes(pem.replace(b"-----BEGIN", b"------BEGIN", 1)[: len(pem)])
    os.utime(served.certificate, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert watch.load() is None
    assert watch._failed is not None


def test_authorities_are_renewed_too(
    tmp_path: Path, watch: CertificateWatch, authority: CertificateAuthority
) -> None:
    """Another file of roots for client certificates is a change like any other."""
    (tmp_path / "another").mkdir()
    another = CertificateAuthority(tmp_path / "another")
    authority.certificate.write_bytes(another.certificate.read_bytes())
    found = watch.load()
    assert found is not None
    assert found.client_roots == another.certificate.read_bytes()


def _half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:200])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _gone(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("break_", [_half, _empty, _gone])
@pytest.mark.parametrize("which", ["certificate", "key", "authority"])
def test_what_is_not_whole_is_not_used(
    watch: CertificateWatch,
    served: IssuedCertificate,
    authority: CertificateAuthority,
    caplog: pytest.LogCaptureFixture,
    *,
    break_: Callable[[Path], None],
    which: str,
) -> None:
    """Half-written, empty or gone: as before, logged once if it stays so, and used once it is whole again."""
    files = {"certificate": served.certificate, "key": served.key, "authority": authority.certificate}
    file = files[which]
    whole = file.read_bytes()
    before = watch.current
    break_(file)
    assert watch.load() is None
    assert caplog.records == []
    for _ in range(3):
        assert watch.load() is None
    [record] = caplog.records
    assert str(file) in record.problem  # type: ignore[attr-defined]
    assert watch.current is before
    file.write_bytes(whole)
    assert watch.load() is None
    assert watch._failed is None


def test_a_pair_that_does_not_fit_is_not_used(
    watch: CertificateWatch, served: IssuedCertificate, other: IssuedCertificate
) -> None:
    """The certificate comes before its key, or the key before it."""
    served.certificate.write_bytes(other.certificate.read_bytes())
    assert watch.load() is None
    served.key.write_bytes(other.key.read_bytes())
    assert watch.load() is not None


def test_what_an_engine_refuses_is_not_in_use(
    watch: CertificateWatch,
    served: IssuedCertificate,
    other: IssuedCertificate,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An engine may know better what it can serve: as before, and logged once if it stays so."""
    given: list[Certificates] = []

    def use(found: Certificates) -> None:
        given.append(found)
        if len(given) > 1:
            raise ValueError("no")

    watch.subscribe(use)
    before = watch.current
    _write(served, other)
    for _ in range(4):
        found = watch.load()
        assert found is not None
        assert not watch.replace(found)
        assert watch.current is before
    [record] = caplog.records
    assert record.problem == "no"  # type: ignore[attr-defined]


def test_an_encrypted_key_is_an_error(served: IssuedCertificate) -> None:
    """Nobody is there to give a password; the text names the file, and repeats nothing of it."""
    key = load_pem_private_key(served.key.read_bytes(), None)
    served.key.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )
    with pytest.raises(CertificateError, match=str(served.key)):
        CertificateWatch(served.certificate, served.key)


def test_the_key_is_in_no_representation(watch: CertificateWatch) -> None:
    """Nor is anything else of the files."""
    assert "PRIVATE" not in repr(watch.current)
