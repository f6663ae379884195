"""Names in certificates, as Envoy writes their subjects."""

from __future__ import annotations

import pytest

from session_service.rpc.engines.certificates import common_name


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("CN=billing", "billing"),
        ("CN=billing,O=Acme,C=DE", "billing"),
        ("O=Acme,CN=billing", "billing"),
        ("emailAddress=a@b,CN=billing", "billing"),
        ("O=Acme", ""),
        ("", ""),
        (r"CN=Doe\, John,O=Acme", "Doe, John"),
        (r"O=Acme\, CN=root,CN=billing", "billing"),
        (r"O=CN\=root,CN=billing", "billing"),
        (r"CN=a\=b", "a=b"),
        (r"CN=a\+b", "a+b"),
        (r"CN=\#1", "#1"),
        (r"CN=a\\,O=b", "a\\"),
        (r"CN=a\\\,CN=root", r"a\,CN=root"),
        (r"CN=\C3\A9", "é"),
        (r"CN=\ padded\ ", " padded "),
        (r"CN=a\"b", 'a"b'),
        ("OU=x+CN=billing,O=Acme", "billing"),
        ("CNX=root", ""),
        ("cn=billing", "billing"),
        ("CN=last,CN=first", "first"),
        (r"OU=x\\,CN=billing", "billing"),
    ],
)
def test_the_common_name_is_read_as_rfc_2253_escapes_it(subject: str, name: str) -> None:
    """Escaped characters are part of a value, so that none can pretend to be another name."""
    assert common_name(subject) == name
