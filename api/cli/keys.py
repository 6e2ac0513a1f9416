"""`amos keys`: who may ask. Makes, lists, rotates and revokes API keys, here or on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli import output
from api.cli.asking import show_answer
from api.cli.consent import is_agreed, require_person
from api.cli.failure import EXIT_USAGE, CommandError
from api.cli.options import JsonOption, KeyFileOption, UrlOption
from api.moments import duration_s

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rich.console import RenderableType

    from api.cli.connection import Connection

app = typer.Typer(help="Make, list, rotate and revoke API keys.")

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The id of the key; `amos keys list` shows it.")]


def scopes() -> list[str]:
    """What a key may be allowed, for the completion of shells."""
    from orchestrator.api_keys import SCOPES  # noqa: PLC0415

    return list(SCOPES)


@app.command()
def create(  # noqa: PLR0917 - each is an option of the command line
    client: Annotated[str, typer.Option(metavar="NAME", help="Whose key it is; the name in reports.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPE",
            autocompletion=scopes,
            help="What it may do: search, extract, refresh, reports or admin; repeatable. "
            "[default: search, extract]",
        ),
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="It may do everything.")] = False,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="How long it lives, such as 90d. [default: until it is revoked]"
        ),
    ] = None,
    limit_burst: Annotated[
        int | None, typer.Option(min=1, metavar="COUNT", help="Calls at once, in place of the default.")
    ] = None,
    limit_minute: Annotated[
        int | None, typer.Option(min=1, metavar="COUNT", help="Calls in a minute.")
    ] = None,
    limit_hour: Annotated[int | None, typer.Option(min=1, metavar="COUNT", help="Calls in an hour.")] = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, this once."""
    from orchestrator.api_keys import SCOPES, SCOPES_DEFAULT  # noqa: PLC0415

    limits = {"burst": limit_burst, "per_minute": limit_minute, "per_hour": limit_hour}
    own = {name: value for name, value in limits.items() if value is not None}
    body: dict[str, Any] = {
        "client": client,
        "scopes": list(SCOPES if admin else scope or SCOPES_DEFAULT),
        "expires_in_s": None if expires is None else _duration_s("--expires", expires),
        "limits": own or None,
    }
    show_answer(
        "making a key", lambda gateway: gateway.create_key(body), _new_key, url, key_file, as_json=as_json
    )


@app.command(name="list")
def list_(url: UrlOption = None, key_file: KeyFileOption = None, as_json: JsonOption = False) -> None:
    """Show all keys; the keys themselves are kept nowhere."""
    show_answer("keys", lambda gateway: gateway.keys(), _table, url, key_file, as_json=as_json)


@app.command()
def rotate(
    key_id: KeyId,
    overlap: Annotated[
        str, typer.Option(metavar="DURATION", help="How long the old key goes on opening.")
    ] = "24h",
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a successor of a key and print it, this once.

    For a while both open.
    """
    body = {"overlap_s": _duration_s("--overlap", overlap)}
    ask = _rotation(key_id, body)
    show_answer("rotating the key", ask, _new_key, url, key_file, as_json=as_json)


@app.command()
def revoke(
    key_id: KeyId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a key for good: within 5 seconds it opens nowhere."""
    if not yes:
        require_person("Revoking a key", "Say so with --yes.")
        if not is_agreed(f"Revoke the key {key_id} for good?"):
            return
    show_answer(
        "revoking the key",
        lambda gateway: gateway.revoke_key(key_id),
        _revoked,
        url,
        key_file,
        as_json=as_json,
    )


@app.command()
def generate(as_json: JsonOption = False) -> None:
    """Print a new key that no server knows yet.

    It is for the file that AMOS_BOOTSTRAP_ADMIN_KEY_FILE names.
    """
    from orchestrator.api_keys import generate as new_key  # noqa: PLC0415

    if as_json:
        output.data_json({"key": new_key()})
    else:
        output.line(new_key())
    output.message(
        "No server knows this key yet. Keep it in a file only its owner reads, and name that file in "
        "AMOS_BOOTSTRAP_ADMIN_KEY_FILE."
    )


def _duration_s(option: str, text: str) -> float:
    """Seconds of a duration such as 90d, 24h, 30m. Raises CommandError."""
    found_s = duration_s(text)
    if found_s is None:
        raise CommandError(f"{option}: expected a duration such as 90d, 24h or 30m.", exit_code=EXIT_USAGE)
    return float(found_s)


def _rotation(key_id: str, body: dict[str, Any]) -> Callable[[Connection], Awaitable[bytes]]:
    return lambda gateway: gateway.rotate_key(key_id, body)


def _new_key(body: dict[str, Any]) -> RenderableType:
    """The key alone, so that it can be piped into a file; everything else is said beside it."""
    from rich.text import Text  # noqa: PLC0415

    from api.quantities import moment  # noqa: PLC0415

    until = "until it is revoked" if body["expires_at"] is None else f"until {moment(body['expires_at'])}"
    output.message(
        f"Key {body['id']} of {body['client']}: {', '.join(body['scopes'])}; valid {until}.\n"
        "Store it now, it is not shown again. Send it as: Authorization: Bearer KEY"
    )
    return Text(body["key"], overflow="fold")


def _revoked(body: dict[str, Any]) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    return Text(f"Key {body['id']} of {body['client']} is revoked.")


def _table(body: dict[str, Any]) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    from api.cli.terminal_text import one_line  # noqa: PLC0415
    from api.quantities import ABSENT, shown  # noqa: PLC0415

    keys = body["keys"]
    if not keys:
        return Text("There are no API keys; make one with `amos keys create`.")
    moments = ("created_at", "expires_at", "last_used_at")
    rows = [
        [
            *(Text(one_line(key[name])) for name in ("id", "client")),
            Text(", ".join(key["scopes"])),
            Text(key["status"]),
            *(Text(shown(name, key[name])) for name in moments),
            Text(key["replaces"] or ABSENT),
        ]
        for key in keys
    ]
    return output.table(
        ("id", "client", "scopes", "status", "created", "expires", "last used", "replaces"), rows
    )
