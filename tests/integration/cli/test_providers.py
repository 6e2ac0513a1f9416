"""`amos providers`, here and on a server, and that a running server has what was changed on its folder."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from tests.support.processes import UpstreamProcess

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine, InThisProcess


def names(listed: str) -> list[str]:
    """The names in a list as JSON."""
    return [one["name"] for one in json.loads(listed)["providers"]]


def test_a_list_is_kept_without_a_server(amos: InThisProcess):
    """Registered, moved, disabled, enabled and removed on the data folder; each command says what it did."""
    amos.environment |= {"AMOS_PROVIDERS": "local", "TAVILY_API_KEY": "tvly-simulated"}

    added = amos.run("providers", "add", "tavily", "--kind", "tavily", "--priority", "50")
    listed = amos.run("providers", "list", "--json")
    moved = amos.run("providers", "move", "tavily", "900")
    disabled = amos.run("providers", "disable", "local")
    table = amos.run("providers", "list")
    enabled = amos.run("providers", "enable", "local")
    doctor = amos.run("doctor", "--json")
    removed = amos.run("providers", "remove", "tavily")
    left = amos.run("providers", "list", "--json")
    told = amos.run("events", "tail")

    assert added.stdout == "tavily is registered (tavily, priority 50, serving).\n"
    assert names(listed.stdout) == ["tavily", "local"]
    assert "priority 900" in moved.stdout
    assert "local is disabled" in disabled.stdout
    assert "disabled" in table.stdout
    assert "local is enabled" in enabled.stdout
    found = {finding["name"]: finding["detail"] for finding in doctor.json["findings"]}
    assert found["provider tavily"] == "configured"
    assert removed.stdout == "tavily is removed.\n"
    assert names(left.stdout) == ["local"]
    assert "provider.registered   provider=tavily kind=tavily priority=50" in told.stdout


def test_what_is_wrong_is_told(amos: InThisProcess):
    """A wrong command line is 2, a conflict and an unknown name are 1; options are shown by kind."""
    amos.environment |= {"AMOS_PROVIDERS": "local"}
    add = ("providers", "add")
    faults = [
        amos.run(*add, "wiki", "--kind", "unheard_of"),
        amos.run(*add, "wiki", "--kind", "jina", "-o", "nothing"),
        amos.run(*add, "wiki", "--kind", "jina", "-o", "url=http://u:p@h"),
        amos.run(*add, "jina", "--kind", "jina", "-o", "depth=3"),
        amos.run(*add, "jina", "--kind", "jina", "--options-file", "missing.json"),
        amos.run(*add, "jina", "--kind", "jina", "--options-file", "-", stdin="[1]"),
        amos.run(*add, "local", "--kind", "local"),
        amos.run("providers", "remove", "local"),
        amos.run("providers", "enable", "nobody"),
    ]

    assert [fault.exit_code for fault in faults] == [2] * 6 + [1] * 3
    words = ("no kind", "NAME=VALUE", "secret", "options", "missing.json", "JSON object", "of the settings")
    for word, fault in zip((*words, "AMOS_PROVIDERS", "providers list"), faults, strict=True):
        assert word in fault.stderr
        assert "u:p" not in fault.stderr
    assert "tavily" in amos.run("providers", "kinds").stdout
    assert names(amos.run("providers", "list", "--json").stdout) == ["local"]


def test_a_server_has_what_is_changed_beside_it(amos: CommandLine):
    """A command on the data folder of a running server is in force there within seconds."""
    with UpstreamProcess("tavily_simulator", 0) as web:
        amos.environment |= {
            "AMOS_PROVIDERS": "local",
            "TAVILY_API_KEY": "tvly-simulated",
            "AMOS_TAVILY_BASE_URL": web.base_url,
        }
        with amos.started("serve", "--port", "0") as process:
            assert process.stdout is not None
            url = process.stdout.readline().split("ready on ")[1].split()[0]
            amos.run("providers", "add", "tavily", "--kind", "tavily")
            found: list[str] = []
            deadline = time.monotonic() + 8.0
            while found != ["tavily", "local"] and time.monotonic() < deadline:
                found = names(amos.run("providers", "list", "--json", "--url", url).stdout)
            answered = amos.run("search", "tide tables", "--json", "--url", url)
            removed = amos.run("providers", "remove", "tavily", "--url", url)
            conflict = amos.run("providers", "remove", "local", "--url", url)

    assert found == ["tavily", "local"]
    assert answered.json["amos"]["provider"] == "tavily"
    assert "tavily is removed" in removed.stdout
    assert (conflict.exit_code, "AMOS_PROVIDERS" in conflict.stderr) == (1, True)
