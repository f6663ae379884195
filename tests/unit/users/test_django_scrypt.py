"""Django's scrypt format, against hashes that Django itself made."""

from __future__ import annotations

import pytest

from session_service.users.django_scrypt import django_scrypt

# make_password("lètmein", "seasalt", "scrypt") of Django 4.0 and of 5.1.
MADE_BY_DJANGO = [
    "scrypt$16384$seasalt$8$1$Qj3+9PPyRjSJIebHnG81TMjsqtaIGxNQG/aEB/NYafTJ7tibgfYz71m0ldQESkXFRkdVCBhhY8mx7rQwite/Pw==",
    "scrypt$16384$seasalt$8$5$ECMIUp+LMxMSK8xB/IVyba+KYGTI7FTnet025q/1f/vBAVnnP3hdYqJuRi+mJn6ji6ze3Fbb7JEFPKGpuEf5vw==",
]


@pytest.mark.parametrize("stored", MADE_BY_DJANGO)
def test_a_hash_made_by_django_is_verified(stored: str) -> None:
    """Its password is right and any other is wrong."""
    assert django_scrypt.verify("lètmein", stored)
    assert not django_scrypt.verify("letmein", stored)


@pytest.mark.parametrize(
    "stored", ["md5$x", "scrypt$16384$seasalt$8$1", "scrypt$x$s$8$1$YQ==", "scrypt$16$s$8$1$?"]
)
def test_what_is_not_of_the_format_is_a_value_error(stored: str) -> None:
    """Each malformed part is refused as passlib refuses its own formats."""
    with pytest.raises(ValueError, match=r".+"):
        django_scrypt.from_string(stored)
