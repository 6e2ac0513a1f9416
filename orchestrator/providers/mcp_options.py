"""What an operator says of a remote MCP server and its tool, and whether that can be meant. Pure."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from orchestrator.providers.mcp_arguments import check_page_template, check_template
from orchestrator.providers.mcp_results import FIELDS
from orchestrator.providers.mcp_wire import is_tool_name
from orchestrator.providers.option_checks import SECONDS_MAX, bad, check_headers, check_range, check_url


class McpOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of the kind `mcp`; docs/operations/provider-kinds.md explains each.

    `arguments` is what the tool is called with, `None` for what its description suggests; `results` is the
    path of the list of results in its answer, `""` for wherever there is one; `fields` says by which names
    its members go. `extract_tool` reads pages, `""` if none does. `timeout_s` `None` leaves the time to the
    operator's policy for all providers.
    """

    url: str
    tool: str
    arguments: dict[str, Any] | None = None
    results: str = ""
    fields: dict[str, str] = {}
    extract_tool: str = ""
    extract_arguments: dict[str, Any] | None = None
    headers: dict[str, str] = {}
    protocol: Literal["auto", "2026-07-28", "handshake"] = "auto"
    timeout_s: float | None = None
    credits_per_call: float = 0.0
    usd_per_call: float = 0.0

    def check(self) -> None:
        """Raises InvalidRequest, which names the option, for values that cannot be meant."""
        check_url(self.url)
        if not is_tool_name(self.tool):
            raise bad("tool", "must be the name of a tool")
        check_template(self.arguments)
        if self.extract_tool and not is_tool_name(self.extract_tool):
            raise bad("extract_tool", "must be the name of a tool")
        check_page_template(self.extract_arguments)
        if unknown := sorted(self.fields.keys() - FIELDS.keys()):
            raise bad("fields", f"must not name {unknown[0][:40]}; there are {', '.join(FIELDS)}")
        for name, path in (("results", self.results), *self.fields.items()):
            if len(path) > 200 or not all(part or not path for part in path.split(".")):
                raise bad(name, "must be a path such as data.items")
        check_headers(self.headers)
        if self.timeout_s is not None:
            check_range("timeout_s", self.timeout_s, 0.05, SECONDS_MAX)
        check_range("credits_per_call", self.credits_per_call, 0, 1_000)
        check_range("usd_per_call", self.usd_per_call, 0, 100)
