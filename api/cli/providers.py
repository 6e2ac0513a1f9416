"""`amos providers`: who is asked. Registers, moves, disables and removes providers, here or on a server.

What is changed here, on the data folder, a server on the same folder or database has within seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from api.cli import output
from api.cli.asking import show_answer
from api.cli.failure import EXIT_USAGE, CommandError
from api.cli.options import STDIN, JsonOption, KeyFileOption, UrlOption, kind_names
from api.cli.provider_test import hold_to_contract, options_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType


OPTIONS_BYTES_MAX = 65_536
"""chosen: far more than a server takes, so that it is the server who refuses and says what it takes."""

app = typer.Typer(help="List, register, move, disable, remove and test providers.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Its name; `amos providers list` shows all of them.")
]
Priority = Annotated[int, typer.Argument(metavar="PRIORITY", help="The lowest is asked first.")]


@app.command(name="list")
def list_(url: UrlOption = None, key_file: KeyFileOption = None, as_json: JsonOption = False) -> None:
    """Show all providers, in the order in which they are asked."""
    show_answer("providers", lambda gateway: gateway.providers(), _table, url, key_file, as_json=as_json)


@app.command()
def kinds(url: UrlOption = None, key_file: KeyFileOption = None, as_json: JsonOption = False) -> None:
    """Show the kinds of providers and their options."""
    show_answer("kinds", lambda gateway: gateway.providers(), _kinds, url, key_file, as_json=as_json)


@app.command()
def add(  # noqa: PLR0917 - each is an option of the command line
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called in answers and reports.")],
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            autocompletion=kind_names,
            help="What it is; `amos providers kinds` shows the kinds.",
        ),
    ],
    priority: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            help="The lowest is asked first. [default: behind the others that search the web]",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-o",
            metavar="NAME=VALUE",
            help="An option of its kind; repeatable. A value that is JSON is taken as such, any other as "
            "text.",
        ),
    ] = None,
    options_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A JSON object of options, - for standard input; --option wins."),
    ] = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Do not ask it yet.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of one registered under this name.")
    ] = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register a provider. Every server on the same database asks it within seconds."""
    body: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "options": {**_from_file(options_file), **options_of(option)},
        "enabled": not disabled,
        "replace": replace,
        **({} if priority is None else {"priority": priority}),
    }
    ask = lambda gateway: gateway.register_provider(body)  # noqa: E731 - it is passed on, like the others
    show_answer("registering", ask, _one("is registered"), url, key_file, as_json=as_json)


@app.command()
def move(
    name: Name,
    priority: Priority,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a provider another place in the order."""
    _change(name, {"priority": priority}, "is moved", url, key_file, as_json=as_json)


@app.command()
def enable(
    name: Name, url: UrlOption = None, key_file: KeyFileOption = None, as_json: JsonOption = False
) -> None:
    """Ask a provider again that was disabled."""
    _change(name, {"enabled": True}, "is enabled", url, key_file, as_json=as_json)


@app.command()
def disable(
    name: Name, url: UrlOption = None, key_file: KeyFileOption = None, as_json: JsonOption = False
) -> None:
    """Ask a provider no more. Calls under way there end as they would have."""
    _change(name, {"enabled": False}, "is disabled", url, key_file, as_json=as_json)


@app.command()
def remove(
    name: Name, url: UrlOption = None, key_file: KeyFileOption = None, as_json: JsonOption = False
) -> None:
    """Remove a provider that was added. Those of the settings can be disabled."""
    ask = lambda gateway: gateway.remove_provider(name)  # noqa: E731 - as above
    show_answer("removing", ask, _removed, url, key_file, as_json=as_json)


app.command("test")(hold_to_contract)


def _change(
    name: str, body: dict[str, Any], done: str, url: str | None, key_file: Path | None, *, as_json: bool
) -> None:
    ask = lambda gateway: gateway.change_provider(name, body)  # noqa: E731 - as above
    show_answer("changing", ask, _one(done), url, key_file, as_json=as_json)


def _from_file(path: Path | None) -> dict[str, Any]:
    """The options of a file or of standard input, none without one. Raises CommandError."""
    if path is None:
        return {}
    try:
        if str(path) == STDIN:
            content = sys.stdin.buffer.read(OPTIONS_BYTES_MAX + 1) if sys.stdin else b""
        else:
            with path.open("rb") as opened:
                content = opened.read(OPTIONS_BYTES_MAX + 1)
    except OSError as error:
        raise CommandError(f"--options-file {path}: {error.strerror}.", exit_code=EXIT_USAGE) from error
    try:
        options = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(f"--options-file {path}: holds no JSON.", exit_code=EXIT_USAGE) from error
    if not isinstance(options, dict):
        raise CommandError(f"--options-file {path}: expected a JSON object.", exit_code=EXIT_USAGE)
    return options


def _one(done: str) -> Callable[[dict[str, Any]], RenderableType]:
    """Says what has become of one provider."""

    def view(body: dict[str, Any]) -> RenderableType:
        from rich.text import Text  # noqa: PLC0415

        from api.cli.terminal_text import one_line  # noqa: PLC0415

        state = f"priority {body['priority']}, {body['status']}"
        why = f" {one_line(body['detail'])}" if body["detail"] else ""
        return Text(f"{one_line(body['name'])} {done} ({one_line(body['kind'])}, {state}).{why}")

    return view


def _removed(body: dict[str, Any]) -> RenderableType:
    """Says that one is gone; how it was matters no more."""
    from rich.text import Text  # noqa: PLC0415

    from api.cli.terminal_text import one_line  # noqa: PLC0415

    return Text(f"{one_line(body['name'])} is removed.")


def _table(body: dict[str, Any]) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    from api.cli.terminal_text import one_line  # noqa: PLC0415
    from api.quantities import ABSENT, shown  # noqa: PLC0415

    if not body["providers"]:
        return Text("There are no providers; register one with `amos providers add`.")
    rows = [
        [
            Text(str(one["priority"])),
            *(Text(one_line(one[name])) for name in ("name", "kind", "status", "source")),
            Text(
                ABSENT
                if one["since"] is None
                else f"{shown('created_at', one['since'])} {one_line(one['by'])}"
            ),
            Text(one_line(one["detail"]) or ABSENT),
        ]
        for one in body["providers"]
    ]
    return output.table(("priority", "name", "kind", "status", "source", "changed", "detail"), rows)


def _kinds(body: dict[str, Any]) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    from api.cli.terminal_text import one_line  # noqa: PLC0415
    from api.quantities import ABSENT  # noqa: PLC0415

    rows = [
        [
            Text(one_line(kind["name"])),
            Text(one_line(kind["summary"] or kind["fault"])),
            Text(", ".join(map(one_line, option_names(kind["options"]))) or ABSENT),
        ]
        for kind in body["kinds"]
    ]
    return output.table(("kind", "what it is", "options"), rows)


def option_names(schema: dict[str, Any]) -> list[str]:
    """The names of the options in the JSON Schema of a kind; those that must be given bear a *."""
    place = str(schema.get("$ref", "")).rpartition("/")[2]
    struct = schema.get("$defs", {}).get(place, schema)
    required = struct.get("required", ())
    return [f"{name}*" if name in required else name for name in struct.get("properties", ())]
