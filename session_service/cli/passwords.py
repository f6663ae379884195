"""Where a password comes from: a terminal, asked twice, or standard input. Never the command line.

What stands there can be read by every user of the machine while the command runs (ASVS 14.2.1).
"""

from __future__ import annotations

import sys
from typing import Final

import click

_MOST_BYTES: Final = 16_384

password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input instead of asking."
)
password_hash_stdin = click.option(
    "--password-hash-stdin",
    is_flag=True,
    help="Read a hash brought from elsewhere: argon2, bcrypt, scrypt, PBKDF2 or Django's.",
)


def new_password(from_stdin: bool) -> str:
    """A new password, from standard input or asked for twice on the terminal.

    Raises:
        click.UsageError: there is no terminal to ask on, or what came is not UTF-8.
    """
    if from_stdin:
        return read_secret()
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask for the password on; use --password-stdin")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt="Once more", err=True)
    return _decoded(password.encode(errors="surrogateescape"))


def read_secret() -> str:
    """Standard input without the newline at its end; what comes after 16 KiB is not read.

    Raises:
        click.UsageError: it is not UTF-8.
    """
    return _decoded(sys.stdin.buffer.read(_MOST_BYTES)).removesuffix("\n").removesuffix("\r")


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise click.UsageError("the password is not UTF-8") from None
