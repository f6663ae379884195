"""What commands print."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from session_service.cli import output


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal of 50 columns and 16 colours, which keeps what it is told."""
    screen = io.StringIO()

    def console(**_: object) -> Console:
        return Console(file=screen, force_terminal=True, width=50, markup=False, highlight=False)

    monkeypatch.setattr(output, "Console", console)
    return screen


def test_a_pipe_gets_every_row_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Off a terminal nothing is cut, wrapped or coloured."""
    long = "x" * 300
    output.print_table(("name", "session_id"), [(long, "1"), ("short", "2")])

    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[2:]] == [[long, "1"], ["short", "2"]]
    assert "\x1b" not in "".join(lines)


def test_a_table_that_fits_a_terminal_is_a_table(terminal: io.StringIO) -> None:
    """Names stand above the values."""
    output.print_table(("name", "user_id"), [("ada", "u-1")])

    head, rule, row = terminal.getvalue().splitlines()
    assert "name" in head
    assert "user id" in head
    assert "─" in rule
    assert row.split() == ["ada", "u-1"]


def test_a_table_too_wide_for_a_terminal_is_blocks(
    terminal: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is cut: each row is a block of names and values."""
    output.print_table(("name", "session_id"), [("ada", "x" * 60), ("bob", "y")])

    assert terminal.getvalue() == ""
    assert (
        capsys.readouterr().out
        == f"name        ada\nsession_id  {'x' * 60}\n\nname        bob\nsession_id  y\n\n"
    )


def test_no_rows_are_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Headings of nothing are not printed."""
    output.print_table(("name",), [])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (1234567, "1,234,567"),
        (["a", "b"], "a b"),
        ([], "-"),
        ("Zoë's [bold]phone[/bold] :bug:", "Zoë's [bold]phone[/bold] :bug:"),
        ("\x1b[31mred\x07\r\n\u202e", "\ufffd[31mred\ufffd\ufffd\ufffd\ufffd"),
    ],
)
def test_values_are_shown_for_people(capsys: pytest.CaptureFixture[str], value: object, shown: str) -> None:
    """Markup is shown as it is, and what would steer the terminal is replaced."""
    output.print_facts({"value": value})
    output.print_table(("value",), [(value,)])

    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"value  {shown}"
    assert printed[-1].rstrip() == shown


def test_instants_are_rfc_3339_in_utc() -> None:
    """Milliseconds are kept; no instant is nothing."""
    assert output.instant(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"
    assert output.instant(1_700_000_000_000) == "2023-11-14T22:13:20.000Z"
    assert output.instant(0) is None
