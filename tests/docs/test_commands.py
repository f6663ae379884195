"""Each command block of the pages works when pasted, in order, beside `make run`, on either engine."""

from __future__ import annotations

import pytest

from tests.support import ServiceProcess, require_tool
from tests.support.engines import ENGINES, services_on
from tests.support.house_rules import ROOT
from tests.support.pages import blocks, pages
from tests.support.terminal import Pasted, Terminal, expected_output, matches

PASTED = {"sh", "python", "yaml"}
BLOCKS = {str(page.relative_to(ROOT)): blocks(page.read_text("utf-8")) for page in pages()}
COMMANDS = {
    name: [place for place, block in enumerate(found) if block.language in PASTED]
    for name, found in BLOCKS.items()
}


@pytest.fixture(scope="module", params=ENGINES)
def pasted(request: pytest.FixtureRequest) -> dict[tuple[str, int], Pasted]:
    """What became of each block, by its page and its place there; a terminal for each page."""
    for tool in ("grpcurl", "curl", "redis-cli"):
        require_tool(tool)
    done: dict[tuple[str, int], Pasted] = {}
    with services_on(request.param), ServiceProcess(dev=True) as service:
        for name, places in COMMANDS.items():
            with Terminal(service.directory) as terminal:
                done |= {(name, place): terminal.paste(BLOCKS[name][place]) for place in places}
    return done


@pytest.mark.parametrize(
    ("name", "place"),
    [
        pytest.param(name, place, id=f"{name}:{BLOCKS[name][place].line}")
        for name, places in COMMANDS.items()
        for place in places
    ],
)
def test_a_block_works_and_prints_what_is_shown(
    name: str, place: int, pasted: dict[tuple[str, int], Pasted]
) -> None:
    """Every command of the block succeeds, or fails where the page shows an error; the output is as shown."""
    shown = expected_output(BLOCKS[name], place)
    done = pasted[name, place]

    assert done.failed == ("ERROR:" in shown), done.output
    assert not shown or matches(shown, done.output), done.output


def test_every_language_is_known() -> None:
    """No block escapes this test by a language of its own: shown, run, or checked in `test_readme.py`."""
    known = PASTED | {"json", "text", "console"}

    assert {block.language for found in BLOCKS.values() for block in found} <= known
