"""`amos providers`: what is done to the providers of the chain."""

from __future__ import annotations

import typer

from api.cli.provider_test import hold_to_contract

app = typer.Typer(help="Test the providers of the chain.")


@app.callback()
def _group() -> None:
    """Test the providers of the chain."""


app.command("test")(hold_to_contract)
