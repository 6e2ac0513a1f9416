"""`amos cache`: the answers that are kept."""

from __future__ import annotations

import typer

from api.cli.cache_warm import warm

app = typer.Typer(help="Warm the cache.")


@app.callback()
def _group() -> None:
    """Warm the cache."""


app.command()(warm)
