"""`amos providers test`: whether a provider keeps the contract, tried on the real one."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from api.cli import output
from api.cli.consent import is_agreed
from api.cli.failure import EXIT_FAILURE, EXIT_USAGE, CommandError
from api.cli.options import JsonOption, kind_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from api.settings import Settings
    from orchestrator.ports import Provider
    from orchestrator.providers.conformance.subject import Check, Verdict
    from orchestrator.providers.registry import Registration

MARKS = {"passed": "green", "skipped": "dim", "failed": "bold red"}

OptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="NAME=VALUE",
        help="An option of the provider, over those of the settings; its value is JSON where it can be.",
    ),
]


def check_names() -> list[str]:
    """The rules of the contract, for the completion of shells."""
    from orchestrator.providers.conformance import checks  # noqa: PLC0415

    return [check.name for check in checks.ALL]


def hold_to_contract(
    name: Annotated[
        str, typer.Argument(help="The provider, as `amos providers list` has it, or new with --kind.")
    ],
    *,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            autocompletion=kind_names,
            help="Test a provider of this kind that is not set up yet.",
        ),
    ] = None,
    option: OptionOption = None,
    unreachable: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="The option with which its upstream is not there, such as url=http://127.0.0.1:9.",
        ),
    ] = None,
    query: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A plain question that it can answer.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK", autocompletion=check_names, help="Only this check; may be given again."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before questions that cost.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Hold a provider against the contract. Says what to do about each rule it breaks.

    It asks real questions of the provider itself, beside the chain: nothing of it is recorded or counted
    against a budget. A rule that is broken is exit code 1.
    """
    from api.settings import load  # noqa: PLC0415

    settings = load()
    one = _registration(settings, name, kind, options_of(option))
    checks = _chosen(only)
    makers = _makers(settings, one, options_of(unreachable))
    verdicts = asyncio.run(_run(makers, one.name, checks, query, is_agreed_to=yes))
    failures = sum(verdict.status == "failed" for verdict in verdicts)
    if as_json:
        output.data_json({"provider": one.name, "kind": one.kind, "failed": failures, "checks": verdicts})
    else:
        output.data(_table(verdicts))
        for failure in (one for one in verdicts if one.advice):
            output.line(f"{failure.name}: {failure.advice}")
        output.line(_sum(verdicts))
    if failures:
        raise typer.Exit(EXIT_FAILURE)


def options_of(given: Sequence[str] | None) -> dict[str, Any]:
    """`name=value` as a dictionary; a value is JSON where it can be read as JSON, else text."""
    options: dict[str, Any] = {}
    for one in given or ():
        name, equals, value = one.partition("=")
        if not (name and equals):
            raise CommandError("An option is NAME=VALUE.", exit_code=EXIT_USAGE)
        try:
            options[name] = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            options[name] = value
    return options


def _registration(settings: Settings, name: str, kind: str | None, options: dict[str, Any]) -> Registration:
    """The provider to test: one there is, or one of a kind; the options given come on top."""
    from orchestrator.providers.registry import Registration  # noqa: PLC0415

    known = {one.name: one for one in asyncio.run(_registered(settings))}
    if kind is None and name not in known:
        raise CommandError(
            f"No provider is called {name}; there are {', '.join(known)}.",
            "Say of which kind it is with --kind, and what it needs with --option.",
            exit_code=EXIT_USAGE,
        )
    before = known[name].options if name in known and kind in (None, known[name].kind) else {}
    return Registration(name=name, kind=kind or known[name].kind, priority=1, options={**before, **options})


async def _registered(settings: Settings) -> tuple[Registration, ...]:
    """Every provider as of now; those of the settings alone if the database is out of reach."""
    from api.providers import roster_of  # noqa: PLC0415
    from api.registrations import registrations  # noqa: PLC0415
    from orchestrator.clock import SystemClock  # noqa: PLC0415

    clock = SystemClock()
    async with aclosing(roster_of(settings, clock)) as roster, registrations(settings, roster, clock):
        return roster.registrations


def _chosen(only: Sequence[str] | None) -> tuple[Check, ...]:
    from orchestrator.providers.conformance import checks  # noqa: PLC0415

    there = {check.name: check for check in checks.ALL}
    if unknown := [name for name in only or () if name not in there]:
        raise CommandError(
            f"There is no check {unknown[0]}; there are {', '.join(there)}.", exit_code=EXIT_USAGE
        )
    return tuple(check for check in checks.ALL if not only or check.name in only)


def _makers(
    settings: Settings, one: Registration, unreachable: dict[str, Any]
) -> tuple[Callable[[], Provider], Callable[[], Provider] | None]:
    """What makes the provider, and what makes it without its upstream, `None` if nobody said how."""
    from api.providers import built_in  # noqa: PLC0415
    from orchestrator.clock import SystemClock  # noqa: PLC0415
    from orchestrator.providers.guard import Guarded  # noqa: PLC0415
    from orchestrator.providers.registry import Kinds, Tools, Unconfigured  # noqa: PLC0415

    kinds = Kinds(built_in(settings))
    tools = Tools(clock=SystemClock(), secret=settings.provider_secret)

    def maker(registration: Registration) -> Callable[[], Provider]:
        def make() -> Provider:
            made = kinds.make(registration, tools)
            if isinstance(made, Unconfigured):
                raise CommandError(f"{registration.name} cannot be tested: {made.reason}")
            # The guard would hide what is to be found.
            return made.provider if isinstance(made, Guarded) else made

        return make

    if not unreachable:
        return maker(one), None
    gone = msgspec.structs.replace(one, options={**one.options, **unreachable})
    return maker(one), maker(gone)


async def _run(
    makers: tuple[Callable[[], Provider], Callable[[], Provider] | None],
    name: str,
    chosen: tuple[Check, ...],
    query: str | None,
    *,
    is_agreed_to: bool,
) -> tuple[Verdict, ...]:
    from orchestrator.providers.conformance import checks, subject  # noqa: PLC0415

    make, unreachable = makers
    async with subject.Subject(
        make, name=name, query=query or subject.QUERY, unreachable=unreachable
    ) as under_test:
        _require_consent(under_test.provider, name, checks.asks(chosen), is_agreed_to=is_agreed_to)
        with output.progress(f"testing {name}") as advance:
            done = 0

            def tell(_verdict: Verdict) -> None:
                nonlocal done
                done += 1
                advance(done, len(chosen))

            return await checks.run(under_test, chosen, tell)


def _require_consent(provider: Provider, name: str, questions: int, *, is_agreed_to: bool) -> None:
    """Say how many questions come, and ask before those that somebody bills."""
    what = f"{name} is asked up to {questions} real questions"
    price = _price(provider)
    if not (price and questions) or is_agreed_to:
        output.message(f"{what}.")
        return
    if not _is_somebody_there():
        sentence = f"{what} {price}, and nobody is here to be asked."
        raise CommandError(sentence, "Say so with --yes.", exit_code=EXIT_USAGE)
    if not is_agreed(f"{what} {price}. Go on?"):
        raise typer.Exit(EXIT_FAILURE)


def _price(provider: Provider) -> str:
    """What a question may cost, in words; `""` if nobody bills it."""
    from orchestrator.model import SearchRequest  # noqa: PLC0415
    from orchestrator.providers.soundness import cost_fault  # noqa: PLC0415

    request = SearchRequest(query="x", search_depth="advanced", max_results=20)
    try:
        cost = provider.search_estimate(request)
    except Exception:  # noqa: BLE001 - a provider under test may raise anything
        return "of a price it cannot say"
    if cost_fault(cost):
        return "of a price it cannot say"
    if cost.amount:
        return f"of up to {cost.amount:g} {cost.unit} each"
    return "that cost money" if cost.usd_micros else ""


def _is_somebody_there() -> bool:
    import sys  # noqa: PLC0415

    return sys.stdin is not None and sys.stdin.isatty()


def _table(verdicts: Sequence[Verdict]) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    rows = []
    for one in verdicts:
        said = one.rule if one.status == "passed" else one.detail
        rows.append([Text(one.name), Text(one.status, style=MARKS[one.status]), Text(said, overflow="fold")])
    return output.table(("check", "result", "what"), rows)


def _sum(verdicts: Sequence[Verdict]) -> str:
    counts = {status: sum(one.status == status for one in verdicts) for status in MARKS}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count or status == "passed")
