"""Who gets to see a page: by which key, with which scope, from which page; and what everybody else sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api.console.visits import NAVIGATION, local_path
from tests.support.keys import Keys
from tests.support.memory_gateway import BASE, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

ALL = ("search", "extract", "refresh", "reports", "admin")
HTMX = {"HX-Request": "true", "HX-Current-URL": f"{BASE}/console/live?x=1"}


@pytest.fixture
async def keys() -> Keys:
    """Keys in memory, of which there are none yet."""
    keys = Keys()
    await keys.ring.refresh()
    return keys


@pytest.fixture
async def client(keys: Keys) -> AsyncIterator[httpx.AsyncClient]:
    """A browser at this machine, with a jar for cookies. An allowed page and a trusted proxy exist."""
    async with served(
        keys=keys, allowed_origins=("https://app.example.org",), trusted_proxies=("127.0.0.1/32",)
    ) as (_, client):
        yield client


async def login(client: httpx.AsyncClient, raw: str, **more: object) -> httpx.Response:
    """Show a key as the page's script does."""
    return await client.post("/console/login", json={"key": raw, **more}, headers={"Origin": BASE})


async def test_without_keys_the_local_operator_needs_no_login(keys: Keys):
    """The person at this machine sees every page; a stranger is told that keys are to be made first."""
    async with served(keys=keys, trusted_proxies=("10.0.0.0/8",)) as (_, client):
        mine = await client.get("/")
        strange = await client.get("/", headers={"X-Forwarded-For": "203.0.113.9"}, follow_redirects=True)

    assert mine.status_code == 200
    assert [f'href="{to}"' in mine.text for to, *_ in NAVIGATION] == [True] * len(NAVIGATION)
    assert strange.url.path == "/console/login"
    assert "There are no API keys yet" in strange.text


async def test_a_key_becomes_a_session_and_logging_out_ends_it(client: httpx.AsyncClient, keys: Keys):
    """The cookie holds no part of the key's secret, and opens pages until the browser gives it up."""
    made = await keys.make("acme", scopes=ALL)
    before = await client.get("/?q=")
    begun = await login(client, f"  {made.raw} ", next="/?q=tides")

    assert (before.status_code, before.headers["location"]) == (
        303,
        "/console/login?next=%2F%3Fq%3D&why=no_credential",
    )
    assert begun.json() == {"next": "/?q=tides"}
    assert made.raw[23:] not in begun.headers["set-cookie"]
    assert made.key.digest not in begun.headers["set-cookie"]
    assert "acme" in (await client.get("/")).text
    assert (await client.post("/console/logout", json={})).json() == {"next": "/console/login"}
    assert (await client.get("/")).status_code == 303


async def test_a_wrong_key_begins_nothing(client: httpx.AsyncClient, keys: Keys):
    """The refusal says what is wrong, as to every caller, and no cookie is set."""
    cut = await login(client, (await keys.make()).raw[:-1])

    assert (cut.status_code, cut.json()["code"]) == (401, "unauthenticated")
    assert "Was it copied whole?" in cut.json()["detail"]
    assert "set-cookie" not in cut.headers


@pytest.mark.parametrize("body", [{}, {"key": 1}, {"key": "x" * 201}, {"key": "x", "next": 1}])
async def test_a_login_that_is_none_is_refused(client: httpx.AsyncClient, body: dict[str, object]):
    """Whatever the body is, the answer says what was expected."""
    refused = await client.post("/console/login", json=body)

    assert (refused.status_code, refused.json()["detail"]) == (400, "key: expected an API key.")


async def test_a_session_ends_with_its_key(client: httpx.AsyncClient, keys: Keys):
    """A cookie that is shown again after its key was revoked opens nothing, and the login says why."""
    made = await keys.make()
    await login(client, made.raw)
    assert (await client.get("/")).status_code == 200

    await keys.admin.revoke(made.key.id, by="test")
    after = await client.get("/", follow_redirects=True)

    assert after.url.path == "/console/login"
    assert "The key of your session has been revoked." in after.text


async def test_the_cookie_opens_no_api(client: httpx.AsyncClient, keys: Keys):
    """Only pages of the console look at it: a program shows a key."""
    await login(client, (await keys.make(scopes=ALL)).raw)

    for path in ("/search?q=tides", "/executions/1", "/keys", "/reports/health"):
        assert (await client.get(path)).status_code == 401, path


async def test_a_session_given_by_somebody_else_does_not_outlive_a_login(
    client: httpx.AsyncClient, keys: Keys
):
    """Whoever logs in has the session of the key shown, whatever cookie the browser had before."""
    mallory, alice = await keys.make("mallory"), await keys.make("alice")
    await login(client, mallory.raw)
    planted = client.cookies.get("amos_session")

    await login(client, alice.raw)

    assert client.cookies.get("amos_session") != planted
    assert ">alice</span>" in (await client.get("/")).text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://app.example.org"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": BASE, "Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
@pytest.mark.parametrize("path", ["/console/login", "/console/logout", "/"])
async def test_pages_of_others_do_nothing_in_the_name_of_a_session(
    client: httpx.AsyncClient, keys: Keys, path: str, headers: dict[str, str], status: int
):
    """Neither a stranger's page nor one that may use the API gets anything done with somebody's cookie."""
    made = await keys.make()
    await login(client, made.raw)

    if path == "/":
        refused = await client.get("/?q=tides", headers={**headers, "Content-Type": "application/json"})
        status = 200 if headers.get("Origin") == BASE else status
    else:
        refused = await client.post(
            path, content=b'{"key": "x"}', headers={"Content-Type": "application/json", **headers}
        )

    assert refused.status_code == status
    assert "set-cookie" not in refused.headers


async def test_behind_a_proxy_with_tls_the_cookie_is_secure(client: httpx.AsyncClient, keys: Keys):
    """The trusted proxy says how the browser came, and only over TLS is that cookie taken back."""
    made = await keys.make()
    by_tls = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    own = BASE.replace("http:", "https:")

    begun = await client.post("/console/login", json={"key": made.raw}, headers={**by_tls, "Origin": own})
    cookie = begun.headers["set-cookie"]

    assert cookie.startswith("__Host-amos_session=")
    assert cookie.endswith("; Secure")
    shown = {"Cookie": cookie.partition(";")[0]}
    assert (await client.get("/", headers={**by_tls, **shown})).status_code == 200
    assert (await client.get("/", headers=shown)).status_code == 303


async def test_a_page_without_its_scope_says_so(client: httpx.AsyncClient, keys: Keys):
    """The menu has only what the key may see; the rest is a page with the scope it needs."""
    await login(client, (await keys.make(scopes=("reports",))).raw)

    refused = await client.get("/")

    assert refused.status_code == 403
    assert "This page needs the scope search" in refused.text
    assert 'href="/console/executions"' in refused.text
    assert 'href="/console/keys"' not in refused.text


async def test_a_session_that_ends_within_a_page_leads_to_the_login(client: httpx.AsyncClient, keys: Keys):
    """A part makes htmx leave the page and come back to it; a script gets problem details."""
    await keys.make()

    part = await client.get("/?q=tides", headers=HTMX)
    data = await client.get("/", headers={"Accept": "application/json"})

    assert (part.status_code, part.text) == (401, "")
    assert part.headers["hx-redirect"] == "/console/login?next=%2Fconsole%2Flive%3Fx%3D1&why=no_credential"
    assert (data.status_code, data.headers["content-type"]) == (401, "application/problem+json")


async def test_a_page_never_leaves_this_origin(client: httpx.AsyncClient, keys: Keys):
    """Every page forbids what is not ours, is kept by nobody, and stands in no frame."""
    await login(client, (await keys.make()).raw)
    for path in ("/", "/console/login"):
        headers = (await client.get(path)).headers
        policy = headers["content-security-policy"]

        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["content-type"] == "text/html; charset=utf-8"


VISIT = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
"""What a browser says when somebody follows a link of another site."""


@pytest.mark.parametrize("path", ["/?q=tides", "/console/executions/1?tried=1", "/console"])
async def test_a_link_of_another_site_is_opened_by_hand(keys: Keys, path: str):
    """It does nothing, and leads to a page of ours from which the same address may be opened."""
    async with served(keys=keys) as (memory, client):
        shown = await client.get(path, headers=VISIT)
        hostile = await client.get('/?q="><script>', headers=VISIT)

        assert (shown.status_code, memory.provider.calls) == (403, [])
        assert f'href="{path}"' in shown.text
        assert "<script>" not in hostile.text.partition("</head>")[2]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/search?q=tides", VISIT),
        ("/consoles", VISIT),
        ("/?q=tides", {**VISIT, "Sec-Fetch-Dest": "iframe"}),
        ("/?q=tides", {**VISIT, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}),
        ("/?q=tides", {**VISIT, "Origin": "https://evil.example"}),
        ("/?q=tides", {**VISIT, "Host": "evil.example"}),
    ],
)
async def test_every_other_request_of_another_site_is_refused_as_before(
    keys: Keys, path: str, headers: dict[str, str]
):
    """Frames, pictures, scripts, the API and foreign names get no page."""
    async with served(keys=keys) as (_, client):
        refused = await client.get(path, headers=headers)

    assert refused.status_code in (403, 421)
    assert refused.headers["content-type"] != "text/html; charset=utf-8"


async def test_an_address_without_a_page_says_so(client: httpx.AsyncClient, keys: Keys):
    """Below /console nothing answers in JSON to a person."""
    await login(client, (await keys.make()).raw)

    shown = await client.get("/console/nowhere")

    assert (shown.status_code, "The console has no such page." in shown.text) == (404, True)


async def test_a_bug_is_a_page_that_shows_nothing(
    client: httpx.AsyncClient,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    """An exception nobody expected is a 500 as a page, and a traceback in the log."""
    await login(client, (await keys.make()).raw)

    def broken(_query: bytes) -> dict[str, str]:
        raise ZeroDivisionError("the secret")

    monkeypatch.setattr("api.console.search.form_of", broken)

    shown = await client.get("/")

    assert (shown.status_code, "the secret" in shown.text) == (500, False)
    assert "internal_error" in shown.text
    assert "ZeroDivisionError: the secret" in caplog.text


async def test_switched_off_it_is_not_there(keys: Keys):
    """AMOS_CONSOLE=false leaves the API alone."""
    async with served(keys=keys, console=False) as (_, client):
        for path in ("/", "/console", "/console/login"):
            assert (await client.get(path)).status_code == 404
        assert (await client.get("/search?q=tides")).status_code == 200


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/", "/"),
        ("/?q=a+b", "/?q=a+b"),
        ("/console/executions?since=1h", "/console/executions?since=1h"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/?q=https://a.example/x", "/?q=https://a.example/x"),
        ("https://evil.example/console/", "/"),
        ("javascript:alert(1)", "/"),
        ("/console/login?next=/", "/"),
        ("/console/\nx", "/"),
        ("/search?q=x", "/"),
        ("", "/"),
    ],
)
def test_after_the_login_only_the_console_follows(given: str, path: str):
    """A link to the login cannot send anybody elsewhere."""
    assert local_path(given) == path
