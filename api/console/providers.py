"""`/console/providers`: who is asked in which order, how they did, and changing that, for scope `admin`.

Changes are those of `/providers`, by the same code. Options name secrets and never hold them.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec

from api.console.data import RANGES
from api.console.overview import part
from api.console.visits import DOOR
from api.provider_question import ask_provider
from api.rest import providers as changes
from api.rest.exchange import read_body
from api.rest.plain_routes import body_of
from orchestrator.errors import InvalidRequest, Overloaded, ProviderNotFound
from orchestrator.providers.registry import PRIORITY_MAX, PRIORITY_STEP
from orchestrator.reports.report import Question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from api.console.visits import Console, Visit
    from api.provider_question import Reply
    from api.settings import Settings
    from orchestrator.provider_admin import ListedProvider, ProviderAdmin

PATH = "/console/providers"


TEST_S_MAX = 60.0
"""chosen: a call of each of a few keys, all of which may have to wait for the deadline."""


class Place(msgspec.Struct, frozen=True):
    """A provider of the list, and the priorities with which it would be asked one place earlier or later.

    `None` where there is no such place, or no whole number between its neighbours.
    """

    provider: ListedProvider
    earlier: int | None
    later: int | None


def routes(console: Console) -> list[Route]:
    """The routes of this file; none in a gateway whose list of providers is fixed."""
    admin = console.gateway.providers
    if admin is None:
        return []
    trial = Trial(console.settings)

    async def show(visit: Visit, template: str, said: str = "") -> Response:
        return await visit.page(template, said=said, **await _listing(console, admin))

    async def providers(request: Request, visit: Visit) -> Response:
        if request.method != "POST":
            return await show(visit, "providers.html")
        made = await changes.register(admin, wish_of(await body_of(request)), visit.principal.client)
        return await show(visit, "parts/providers.html", f"{made.name} is a provider from now on.")

    async def provider(request: Request, visit: Visit) -> Response:
        name, by = request.path_params["name"], visit.principal.client
        if request.method == "DELETE":
            await changes.remove(admin, name, by)
            return await show(visit, "parts/providers.html", f"{name} is no provider any more.")
        body = await body_of(request)
        seen = _seen(body.pop("seen", []))
        changed = await changes.change(admin, name, body, by, seen=seen)
        place = [one.name for one in admin.list()].index(changed.name) + 1
        state = f"is asked as number {place}" if changed.enabled else "is disabled, and asked no more"
        return await show(visit, "parts/providers.html", f"{name} {state}.")

    async def test(request: Request, visit: Visit) -> Response:
        name = request.path_params["name"]
        await read_body(request.receive)
        return await visit.page("parts/tested.html", name=name, replies=await trial.ask(admin, name))

    return [
        console.route(PATH, providers, "admin", methods=("GET", "POST")),
        console.route(PATH + "/{name}", provider, "admin", methods=("PATCH", "DELETE")),
        console.route(PATH + "/{name}/test", test, "admin", methods=("POST",)),
    ]


class Trial:
    """Asks one provider one question, as `amos doctor --online` does: recorded, and billed as every other is.

    One at a time: each has a gateway of its own, with nothing but that provider.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._is_under_way = False

    async def ask(self, admin: ProviderAdmin, name: str) -> Sequence[Reply]:
        """What came of it, for each of the provider's keys.

        Raises ProviderNotFound, InvalidRequest for one that is not asked at all, Overloaded.
        """
        one = next((one for one in admin.list() if one.name == name), None)
        if one is None:
            raise ProviderNotFound("There is no provider of this name.")
        if one.status != "serving":
            raise InvalidRequest(f"{name} is {one.status} and cannot be asked. {one.detail}".rstrip())
        if self._is_under_way:
            raise Overloaded("Another provider is being tested at the moment.", retry_after_s=TEST_S_MAX)
        self._is_under_way = True
        try:
            async with asyncio.timeout(TEST_S_MAX):
                return await ask_provider(self._settings, name, door=DOOR)
        except TimeoutError as error:
            raise Overloaded(f"{name} was not through with the test in {TEST_S_MAX:g} s.") from error
        finally:
            self._is_under_way = False


async def _listing(console: Console, admin: ProviderAdmin) -> dict[str, Any]:
    now = time.time()
    asked = Question(since=now - RANGES["24h"].seconds, until=now)
    report = await part(console.figures.report("providers", asked))
    listed = admin.list()
    rows = report.shown["rows"] if report.shown else []
    return {
        "places": places(listed),
        "order": [one.name for one in listed],
        "kinds": await admin.kinds(),
        "health": {one.name: one for one in await console.gateway.health()},
        "figures": {row["provider"]: row for row in rows},
        "fault": report.fault,
    }


def places(listed: Sequence[ListedProvider]) -> list[Place]:
    """The list with where each provider could go."""
    ranks = [-1, *(one.priority for one in listed), PRIORITY_MAX + 1]
    return [
        Place(
            one,
            earlier=None if place == 0 else _between(ranks[place - 1], ranks[place]),
            later=None if place == len(listed) - 1 else _between(ranks[place + 2], ranks[place + 3]),
        )
        for place, one in enumerate(listed)
    ]


def _seen(names: object) -> Sequence[str]:
    """The order that a button was pressed upon. Raises InvalidRequest."""
    try:
        return msgspec.convert(names, list[str])
    except msgspec.ValidationError as error:
        raise InvalidRequest("seen: expected the names of providers.", field="seen") from error


def _between(low: int, high: int) -> int | None:
    """A priority between two others, near the middle, or a step from an end of the list."""
    if low < 0:
        low = max(-1, high - 2 * PRIORITY_STEP)
    if high > PRIORITY_MAX:
        high = min(PRIORITY_MAX + 1, low + 2 * PRIORITY_STEP)
    found = (low + high) // 2
    return found if low < found < high else None


def wish_of(form: dict[str, Any]) -> dict[str, Any]:
    """What the form means, as `/providers` takes it. Raises InvalidRequest."""
    wish = dict(form)
    if isinstance(options := wish.get("options"), str):
        try:
            wish["options"] = msgspec.json.decode(options, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise InvalidRequest(
                'options: expected a JSON object, such as {"url": "…"}.', field="options"
            ) from error
    if isinstance(priority := wish.get("priority"), str):
        if not (priority.isascii() and priority.isdigit() and len(priority) <= len(str(PRIORITY_MAX))):
            raise InvalidRequest(f"priority: expected 0 to {PRIORITY_MAX}.", field="priority")
        wish["priority"] = int(priority)
    return wish
