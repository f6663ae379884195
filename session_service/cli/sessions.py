"""``session-service sessions``: a user's live sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import click

from session_service.app import Backend
from session_service.cli.arguments import by_id_option, first, limit_option, user_argument, user_id_of
from session_service.cli.commands import Group
from session_service.cli.output import (
    instant,
    json_option,
    print_count,
    print_json,
    print_table,
    print_total,
)
from session_service.cli.settings import ACTOR, Settings, pass_settings
from session_service.domain.events import Action
from session_service.domain.models import Device, Session


@click.group(cls=Group)
def sessions() -> None:
    """List and end a user's sessions.

    A user is named by name or, with --id, by user id: so too one outside the directory.
    """


@sessions.command("list", examples=["sessions list ada", "sessions list --id u-17 --json"])
@user_argument
@by_id_option
@limit_option
@json_option
@pass_settings
def list_sessions(settings: Settings, *, user: str, by_id: bool, limit: int, as_json: bool) -> None:
    """List a user's live sessions, newest activity first."""

    async def read(backend: Backend) -> tuple[list[Session], int]:
        user_id = await user_id_of(backend, user, by_id)
        return await first(limit, partial(_page, backend, user_id))

    found, total = settings.run(read)
    if as_json:
        print_json({"sessions": [session_document(each) for each in found], "total_size": total})
        return
    rows = [session_document(each) | {"device": _in_words(each.device)} for each in found]
    columns = ("session_id", "device", "ip_address", "created_time", "last_active_time", "expire_time")
    print_table(columns, ([row[name] for name in columns] for row in rows))
    print_total("sessions", len(found), total)


@sessions.command(examples=["sessions revoke ada H5fXm3yq8rB1t0uZc7KpLw"])
@user_argument
@click.argument("session_id")
@by_id_option
@json_option
@pass_settings
def revoke(settings: Settings, *, user: str, session_id: str, by_id: bool, as_json: bool) -> None:
    """End one session of a user; its tokens stop working at once."""

    async def end(backend: Backend) -> None:
        user_id = await user_id_of(backend, user, by_id)
        await backend.sessions.end(user_id, session_id, Action.REVOKE, ACTOR)

    settings.run(end)
    print_count("revoked_count", "sessions ended", 1, as_json)


@sessions.command("revoke-all", examples=["sessions revoke-all ada"])
@user_argument
@by_id_option
@json_option
@pass_settings
def revoke_all(settings: Settings, *, user: str, by_id: bool, as_json: bool) -> None:
    """End every session of a user."""

    async def end(backend: Backend) -> int:
        return await backend.sessions.end_all(await user_id_of(backend, user, by_id), ACTOR)

    print_count("revoked_count", "sessions ended", settings.run(end), as_json)


def session_document(session: Session) -> dict[str, Any]:
    """A session under the names of the API."""
    return {
        "session_id": session.session_id,
        "user_id": session.user_id,
        "username": session.username,
        "device": asdict(session.device),
        "ip_address": session.ip_address,
        "created_time": instant(session.created_ms),
        "last_active_time": instant(session.last_active_ms),
        "expire_time": instant(session.expires_ms),
    }


def _in_words(device: Device) -> str:
    words = ", ".join(filter(None, (device.name, device.platform, device.app_version)))
    return words or device.user_agent or device.device_id or "-"


async def _page(backend: Backend, user_id: str, size: int, token: str) -> tuple[Sequence[Session], str, int]:
    page = await backend.sessions.page(user_id, size, token)
    return page.sessions, page.next_page_token, page.total_size
