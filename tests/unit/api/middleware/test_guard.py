"""The guard: who may be the local operator, who is a stranger, and who is turned away at the door."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from api.middleware.guard import LOCAL_DOORS, Doors, Guard, is_loopback
from api.rest.problems import Problem
from api.rest.visitor import visitor_of

HOST = "127.0.0.1:8000"
LOCAL = ("127.0.0.1", 50_000)


async def let_in(
    headers: list[tuple[str, str]] | None = None,
    *,
    method: str = "POST",
    client: tuple[str, int] | None = LOCAL,
    scheme: str = "http",
    path: str = "/search",
    counted: list[str] | None = None,
    doors: Doors = LOCAL_DOORS,
) -> str:
    """The refusal the guard leaves for the routes, `""` for the local operator. Raises Problem.

    `counted` takes what the guard says it has turned away.
    """
    found: list[str] = []

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(visitor_of(scope).refusal)

    async def nothing(*_: Any) -> Message:
        return {}

    pairs = [("host", HOST)] if headers is None else headers
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "scheme": scheme,
        "client": client,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs],
    }
    turned_away = [] if counted is None else counted
    await Guard(route, turned_away.append, doors)(scope, nothing, nothing)
    return found[0]


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8000", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "127.8.9.10:8000"),
        *("[::1]", "[::1]:8000"),
    ],
)
async def test_a_loopback_host_is_let_in(host: str):
    """Every name of this machine's own is good, with any port."""
    assert await let_in([("host", host)]) == ""


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("192.168.1.5:8000", "0.0.0.0:8000", "[::]:8000", "[2001:db8::1]", "128.0.0.1", "localhost."),
        *("127.0.0.1:8000@evil.example", "evil.example@127.0.0.1", "127.0.0.1/evil", "localhost:x", "127.1"),
        *(
            "2130706433",
            "0x7f.0.0.1",
            "::1",
            "[::1",
            "localhost:800000",
            "localhost:",
            " localhost",
            "foo.localhost",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/search", "/livez", "/nothing"])
async def test_a_foreign_host_is_turned_away(host: str, path: str):
    """DNS rebinding ends here: whatever the address, the name in the request is not ours."""
    with pytest.raises(Problem) as refused:
        await let_in([("host", host)], path=path)

    assert refused.value.status == 421


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("host", "")],
        [("host", "localhost"), ("host", "evil.example")],
        [("host", "localhost"), ("host", "localhost")],
    ],
)
async def test_a_missing_or_second_host_is_turned_away(headers: list[tuple[str, str]]):
    """A request must say once whom it wants."""
    with pytest.raises(Problem) as refused:
        await let_in(headers)

    assert refused.value.status == 400


@pytest.mark.parametrize(
    "origin",
    [
        *(
            "https://evil.example",
            "null",
            "",
            "http://localhost:3000",
            "https://127.0.0.1:8000",
            "http://localhost:8000",
        ),
        *(
            "http://127.0.0.1:8000.evil.example",
            "http://127.0.0.1",
            f"http://{HOST}, http://evil.example",
            "file://",
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_a_foreign_origin_is_turned_away(origin: str, method: str):
    """A page of another origin gets nowhere, another port of this machine being another origin."""
    with pytest.raises(Problem) as refused:
        await let_in([("host", HOST), ("origin", origin)], method=method)

    assert (refused.value.status, refused.value.code) == (403, "foreign_origin")


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"]
)
async def test_our_own_page_may_send_json(content_type: str):
    """A page of ours is the local operator's hand."""
    headers = [("host", HOST), ("origin", f"http://{HOST}"), ("content-type", content_type)]

    assert await let_in(headers) == ""


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"]
)
async def test_a_body_with_an_origin_must_be_declared_as_json(content_type: str):
    """A form cannot declare JSON, so a body that came by one is not taken."""
    headers = [("host", HOST), ("origin", f"http://{HOST}"), ("content-type", content_type)]

    with pytest.raises(Problem) as refused:
        await let_in(headers)

    assert refused.value.status == 415


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json"]
)
async def test_without_an_origin_any_content_type_will_do(content_type: str):
    """`curl -d` declares a form and sends JSON."""
    assert await let_in([("host", HOST), ("content-type", content_type)]) == ""


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything", "", "none, cross-site"])
async def test_another_site_s_page_is_turned_away(site: str):
    """An image or link of another page sends no Origin, but the browser says where it came from."""
    with pytest.raises(Problem) as refused:
        await let_in([("host", HOST), ("sec-fetch-site", site), ("sec-fetch-mode", "no-cors")], method="GET")

    assert (refused.value.status, refused.value.code) == (403, "foreign_site")


@pytest.mark.parametrize("site", ["none", "same-origin"])
async def test_a_person_at_the_address_bar_is_let_in(site: str):
    """What the operator types or our own page asks for is theirs."""
    assert await let_in([("host", HOST), ("sec-fetch-site", site)], method="GET") == ""


@pytest.mark.parametrize(
    "name",
    [
        *(
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-original-forwarded-for",
        ),
        *("via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"),
        *("cdn-loop", "x-envoy-external-address", "x-original-host", "fastly-client-ip"),
        *("x-cluster-client-ip", "fly-client-ip", "x-azure-clientip", "cf-ray"),
    ],
)
async def test_a_proxied_request_is_a_stranger_s(name: str):
    """Behind a proxy anybody may stand, so a caller who must be known is not."""
    assert await let_in([("host", HOST), (name, "1.2.3.4")]) == "proxied"


@pytest.mark.parametrize("client", [("192.168.1.9", 1), ("::ffff:10.0.0.1", 1), ("", 1), ("unix", 1), None])
async def test_another_machine_is_a_stranger(client: tuple[str, int] | None):
    """Whoever connects from elsewhere, or from nowhere we know, is not the local operator."""
    assert await let_in(client=client) == "foreign_peer"


@pytest.mark.parametrize("client", [("::1", 1), ("127.9.9.9", 1)])
async def test_any_loopback_peer_is_this_machine(client: tuple[str, int]):
    """Both families of the loopback address are this machine."""
    assert await let_in(client=client) == ""


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([("host", "evil.example")], "foreign_host"),
        ([], "host_missing"),
        ([("host", HOST), ("origin", "https://evil.example")], "foreign_origin"),
        ([("host", HOST), ("sec-fetch-site", "cross-site")], "foreign_site"),
        ([("host", HOST), ("origin", f"http://{HOST}"), ("content-type", "text/plain")], "not_json"),
    ],
)
async def test_who_is_turned_away_is_counted(headers: list[tuple[str, str]], code: str):
    """Each request the guard turns away is told once, by a code that holds nothing of the request."""
    counted: list[str] = []

    with pytest.raises(Problem):
        await let_in(headers, counted=counted)

    assert counted == [code]


@pytest.mark.parametrize("headers", [[("host", HOST)], [("host", HOST), ("via", "1.1 proxy")]])
async def test_who_is_let_in_is_not_counted(headers: list[tuple[str, str]]):
    """A stranger who is let in is counted where a caller must be known, not twice."""
    counted: list[str] = []

    await let_in(headers, counted=counted)

    assert counted == []


async def test_a_key_is_no_hindrance():
    """Clients insist on sending a key; the local operator needs none and may."""
    assert await let_in([("host", HOST), ("authorization", "Bearer tvly-1")]) == ""


def test_any_bytes_are_a_host_or_not():
    """A host of strange bytes is a foreign one."""
    assert not is_loopback(bytes(range(256)))


OPEN = Doors(
    hosts=("amos.example", "*.teams.example", "odd.example:8443", "[2001:db8::1]"),
    origins=("https://app.example",),
    proxies=("10.0.0.0/8",),
    is_public=True,
)
"""A gateway that others can reach."""


@pytest.mark.parametrize(
    "host",
    [
        *("amos.example", "AMOS.Example", "amos.example:8000", "a.teams.example", "a.b.teams.example:1"),
        *("odd.example:8443", "[2001:db8::1]:8000", "localhost:8000", "127.0.0.1"),
    ],
)
async def test_an_allowed_host_is_let_in(host: str):
    """Beside the loopback names those the operator has listed, with any port unless one is listed."""
    assert await let_in([("host", host)], doors=OPEN, client=("203.0.113.7", 1)) == "foreign_peer"


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "xamos.example", "amos.example.evil.example", "teams.example", "evilteams.example"),
        *("odd.example", "odd.example:8000", "amos.example@evil.example", "amos.example.", "[2001:db8::2]"),
    ],
)
async def test_any_other_host_is_turned_away(host: str):
    """An open gateway is not open to every name."""
    with pytest.raises(Problem) as refused:
        await let_in([("host", host)], doors=OPEN)

    assert (refused.value.status, refused.value.code) == (421, "foreign_host")


@pytest.mark.parametrize(
    ("doors", "headers", "refusal"),
    [
        (Doors(is_public=True), [("host", HOST)], "public_address"),
        (Doors(proxies=("127.0.0.1",)), [("host", HOST)], "proxied"),
        (Doors(hosts=("amos.example",)), [("host", "amos.example")], "public_name"),
        (Doors(hosts=("amos.example",)), [("host", HOST)], ""),
        (
            Doors(origins=("https://app.example",)),
            [("host", HOST), ("origin", "https://app.example"), ("content-type", "application/json")],
            "foreign_page",
        ),
    ],
)
async def test_an_open_door_makes_nobody_the_local_operator(
    doors: Doors, headers: list[tuple[str, str]], refusal: str
):
    """On a public address, through a trusted proxy, by a public name or from another page a key is needed."""
    assert await let_in(headers, doors=doors) == refusal


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example.evil.example", "null"])
async def test_an_origin_that_is_not_listed_is_turned_away(origin: str):
    """The list is exact."""
    with pytest.raises(Problem) as refused:
        await let_in([("host", HOST), ("origin", origin)], doors=OPEN, method="GET")

    assert refused.value.code == "foreign_origin"


async def test_an_allowed_page_may_be_of_another_site():
    """Its browser says cross-site, which is what allowing it means."""
    headers = [("host", HOST), ("origin", "https://app.example"), ("sec-fetch-site", "cross-site")]

    assert await let_in(headers, doors=OPEN, method="GET", client=("10.0.0.1", 1)) == "foreign_peer"


async def test_behind_a_trusted_proxy_our_own_origin_is_the_one_the_client_sees():
    """The proxy ends TLS, so our own page comes from an https origin."""
    headers = [
        ("host", "amos.example"),
        ("origin", "https://amos.example"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
    ]

    assert await let_in(headers, doors=OPEN, method="GET", client=("10.0.0.1", 1)) == "foreign_peer"
    with pytest.raises(Problem):
        await let_in(headers, doors=OPEN, method="GET", client=("203.0.113.9", 1))
