"""Development mode: everything a first call needs, made on the spot and kept for the next start.

In one directory of mode 0700: the embedded Redis's data, a random signing key (``keys.json``),
and ``dev.env``, which scripts can source. There are no default passwords: the demo user's and
the admin key are random, made once per directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from session_service.app import Backend, make_metrics, patient
from session_service.config import Config
from session_service.config.sections import ServiceKeySection
from session_service.domain.administration import NewUser
from session_service.domain.errors import UserNotFound
from session_service.domain.events import Actor
from session_service.domain.service_keys import new_service_key, service_key_digest
from session_service.private_files import replace_private
from session_service.tokens.keys import new_document

ENV_FILE: Final = "dev.env"
KEY_FILE: Final = "keys.json"
_LAST_PORT: Final = 65_535
_DEMO: Final = "demo"
_ACTOR: Final = Actor("cli")

_BANNER: Final = """
session-service serves on {address} in development mode; its data is in {directory}.

  demo user   {username}
  password    {password}
  admin key   {admin_key}

Paste this to log in, check the token, list the sessions, log out, and see that it counts:

  . {env_file}
  TOKEN=$(grpcurl -plaintext -d "{{\\"username\\": \\"$SESSION_DEMO_USERNAME\\", \\"password\\": \\"$SESSION_DEMO_PASSWORD\\"}}" \\
    "$SESSION_ADDRESS" session.v1.SessionService/Login | sed -n 's/.*"accessToken": "\\([^"]*\\)".*/\\1/p')
  grpcurl -plaintext -H "authorization: Bearer $TOKEN" "$SESSION_ADDRESS" session.v1.SessionService/VerifyToken
  grpcurl -plaintext -H "authorization: Bearer $TOKEN" "$SESSION_ADDRESS" session.v1.SessionService/ListSessions
  grpcurl -plaintext -H "authorization: Bearer $TOKEN" "$SESSION_ADDRESS" session.v1.SessionService/Logout
  grpcurl -plaintext -H "authorization: Bearer $TOKEN" "$SESSION_ADDRESS" session.v1.SessionService/VerifyToken

{rest}
As an operator:

  grpcurl -plaintext -H "x-service-key: $SESSION_ADMIN_KEY" "$SESSION_ADDRESS" session.v1.AdminService/GetStats
"""  # noqa: E501 - commands are to be pasted
_REST: Final = """\
REST is served on {http_address}, for which curl is enough:

  . {env_file}
  TOKEN=$(curl -s -d "{{\\"username\\": \\"$SESSION_DEMO_USERNAME\\", \\"password\\": \\"$SESSION_DEMO_PASSWORD\\"}}" \\
    "http://$SESSION_HTTP_ADDRESS/v1/login" | sed -n 's/.*"access_token":"\\([^"]*\\)".*/\\1/p')
  curl -w '\\n' -H "authorization: Bearer $TOKEN" "http://$SESSION_HTTP_ADDRESS/v1/sessions"
"""  # noqa: E501 - commands are to be pasted
_NO_REST: Final = "There is no REST here: server.http_listen is not set.\n"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The demo user's password and the admin key; ``fresh`` if they were made just now."""

    password: str = field(repr=False)
    admin_key: str = field(repr=False)
    fresh: bool


@dataclass(frozen=True, slots=True)
class Development:
    """A configuration with keys and credentials, and what belongs to it."""

    config: Config
    credentials: Credentials

    @property
    def directory(self) -> Path:
        """Where everything is kept."""
        return self.config.redis.data_dir

    def add_demo_user(self) -> None:
        """Have the demo user in the directory, with the password of the credentials."""
        asyncio.run(_add_demo_user(self.config, self.credentials))

    def announce(self, address: str, http_address: str | None) -> str:
        """Write ``dev.env``, the last sign of being ready; returns what to print.

        Args:
            address: where gRPC is served.
            http_address: where plain HTTP is; ``None`` = nowhere.
        """
        values = {
            "SESSION_ADDRESS": address,
            "SESSION_HTTP_ADDRESS": http_address or "",
            "SESSION_DEMO_USERNAME": _DEMO,
            "SESSION_DEMO_PASSWORD": self.credentials.password,
            "SESSION_ADMIN_KEY": self.credentials.admin_key,
        }
        env_file = self.directory / ENV_FILE
        lines = (f"{name}={shlex.quote(value)}\n" for name, value in values.items())
        replace_private(env_file, "".join(lines))
        sourced = _sourced(env_file)
        return _BANNER.format(
            address=address,
            directory=self.directory,
            env_file=sourced,
            username=_DEMO,
            password=self.credentials.password,
            admin_key=self.credentials.admin_key,
            rest=_REST.format(env_file=sourced, http_address=http_address) if http_address else _NO_REST,
        )


def with_defaults(config: Config) -> Config:
    """The configuration with what development mode has where nothing is configured; touches no file.

    Args:
        config: as read; a Redis or a key file that it names is used instead of one made here.
    """
    sections: dict[str, Mapping[str, object]] = {
        "redis": {} if config.redis.places() else {"embedded": True},
        "tokens": {} if config.tokens.key_file else {"key_file": config.redis.data_dir / KEY_FILE},
        "server": {"reflection": True, "http_listen": config.server.http_listen or _next_port(config)},
        "logging": {} if "format" in config.logging.model_fields_set else {"format": "console"},
    }
    return _updated(config, sections)


def develop(config: Config) -> Development:
    """Make, or find from the last run, the keys and credentials of development mode.

    Args:
        config: as ``with_defaults`` gives it; its data directory is this process's alone.

    Raises:
        OSError: the directory or a file in it cannot be used.
    """
    directory = config.redis.data_dir
    key_file = directory / KEY_FILE
    if config.tokens.key_file == key_file and not key_file.exists():
        replace_private(key_file, json.dumps(new_document("HS256"), indent=2))
    credentials = _credentials(directory)
    key = ServiceKeySection(name="dev", digest=service_key_digest(credentials.admin_key), roles=("admin",))
    completed = _updated(config, {"admin": {"service_keys": (*config.admin.service_keys, key)}})
    return Development(completed, credentials)


def _next_port(config: Config) -> str | None:
    """Where plain HTTP is served unless it is configured: beside gRPC, one port further on."""
    host, _, port = config.server.listen.rpartition(":")
    if config.server.listen.startswith("unix:"):
        return None
    return f"{host}:{int(port) + 1 if 0 < int(port) < _LAST_PORT else 0}"


def _updated(config: Config, sections: Mapping[str, Mapping[str, object]]) -> Config:
    return config.model_copy(
        update={name: getattr(config, name).model_copy(update=values) for name, values in sections.items()}
    )


def _credentials(directory: Path) -> Credentials:
    """Those of the last run, if it left any.

    Its ``dev.env`` is put aside, because a new one is the sign of being ready.
    """
    env_file, aside = directory / ENV_FILE, directory / f"{ENV_FILE}.previous"
    if env_file.exists():
        env_file.replace(aside)
    kept = _read_env(aside) if aside.exists() else {}
    password, admin_key = kept.get("SESSION_DEMO_PASSWORD"), kept.get("SESSION_ADMIN_KEY")
    if password and admin_key:
        return Credentials(password, admin_key, fresh=False)
    return Credentials(secrets.token_urlsafe(15), new_service_key(), fresh=True)


def _read_env(path: Path) -> dict[str, str]:
    """The values in a file of ours; none if it was edited into something else."""
    with contextlib.suppress(ValueError):
        pairs = (line.partition("=") for line in shlex.split(path.read_text(encoding="utf-8")))
        return {name: value for name, _, value in pairs}
    return {}


async def _add_demo_user(config: Config, credentials: Credentials) -> None:
    async with Backend(patient(config), make_metrics(CollectorRegistry())) as backend:
        administration = backend.administration
        try:
            user = await administration.get_user(username=_DEMO)
        except UserNotFound:
            await administration.create_user(NewUser(_DEMO, credentials.password), _ACTOR)
        else:
            if credentials.fresh:
                await administration.set_password(
                    user.user_id, credentials.password, keep_sessions=True, actor=_ACTOR
                )


def _sourced(path: Path) -> str:
    """The path as the shell's ``.`` takes it: with a slash, or it is looked for in PATH."""
    return shlex.quote(str(path) if "/" in str(path) else f"./{path}")
