"""The examples of docs/sdk.md print what stands below them, against a server as they mean it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import ROOT, CommandLine

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = re.compile(r"```python\n(?P<code>.*?)```\n\n```\n(?P<printed>.*?)```", re.DOTALL)

EXAMPLES = [
    pytest.param(found["code"], found["printed"], id=str(number))
    for number, found in enumerate(
        EXAMPLE.finditer((Path(ROOT) / "docs" / "sdk.md").read_text(encoding="utf-8")), start=1
    )
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that searches the documentation, as `amos serve` does where nothing is configured."""
    folder = tmp_path_factory.mktemp("documented")
    amos = CommandLine(folder, {"AMOS_DATA_DIR": str(folder / "var")})
    with amos.started("serve", "--port", "0") as process:
        assert process.stdout is not None
        ready = re.search(r"http://\S+", process.stdout.readline())
        assert ready is not None
        yield ready[0]


def test_there_are_examples():
    """The pattern finds them all, so that none goes untried."""
    assert len(EXAMPLES) == (Path(ROOT) / "docs" / "sdk.md").read_text(encoding="utf-8").count("```python")


@pytest.mark.parametrize(("code", "printed"), EXAMPLES)
def test_an_example_prints_what_it_says(capsys, address: str, code: str, printed: str):
    """What a reader copies works, and shows what the page shows."""
    exec(compile(code.replace("http://127.0.0.1:8000", address), "docs/sdk.md", "exec"), {})

    assert capsys.readouterr().out == printed
