"""What the tests of foreign clients share: the clients themselves, a gateway and simulated providers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from tests.support.foreign import ForeignClient, require_client_packages
from tests.support.foreign_tavily import KINDS, NPM_FOLDER, Kind, TavilyUser
from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.npm import install_packages
from tests.support.tavily_simulator import TavilySimulator

DEADLINE_S = 1.0
"""Of the gateway, so that what never answers is over soon."""

GRACE_S = 0.05
"""Of the gateway's end: the clients live on and hold their connections."""

StartClient = Callable[..., Awaitable[ForeignClient]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def start_client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StartClient]:
    """Starts a client by its command, each once if all is well, and keeps it until the end."""
    running: dict[tuple[str, ...], ForeignClient] = {}
    async with contextlib.AsyncExitStack() as stack:

        async def start(*command: str) -> ForeignClient:
            if command not in running or not running[command].is_running:
                log = tmp_path_factory.mktemp("client") / "log"
                running[command] = await stack.enter_async_context(ForeignClient(command, log))
            return running[command]

        yield start


@pytest_asyncio.fixture(loop_scope="session")
async def tavily() -> AsyncIterator[TavilySimulator]:
    """Tavily, simulated."""
    async with TavilySimulator() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def jina() -> AsyncIterator[JinaSimulator]:
    """Jina, simulated."""
    async with JinaSimulator() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def amos(tmp_path, tavily: TavilySimulator, jina: JinaSimulator) -> AsyncIterator[GatewayServer]:
    """A gateway with both providers, also under the prefix /t."""
    async with serving(
        tmp_path / "var",
        tavily=tavily,
        jina=jina,
        grace_s=GRACE_S,
        deadline_s=DEADLINE_S,
        root_paths=("/t",),
    ) as running:
        yield running


@pytest.fixture(params=KINDS, ids=[kind.name for kind in KINDS])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Which client of Tavily the test is about, installed."""
    if request.param.needs == "pip":
        require_client_packages()
    if request.param.needs == "npm":
        install_packages(NPM_FOLDER)
    return request.param


@pytest_asyncio.fixture(loop_scope="session")
async def user(kind: Kind, start_client: StartClient, amos: GatewayServer) -> TavilyUser:
    """The client, pointed at the gateway."""
    return TavilyUser(kind, await start_client(*kind.command), amos.base_url)
