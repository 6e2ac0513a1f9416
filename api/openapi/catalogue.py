"""Every operation there is, in the order in which the document shows them.

A file with routes has `OPERATIONS`, itself or in a neighbour, and a line here; a test holds the routes of the
application against this list, both ways.
"""

from __future__ import annotations

from api import mcp_operations
from api.rest import (
    budget,
    cache,
    cache_warm,
    dialect_operations,
    executions,
    executions_operations,
    health,
    keys,
    metrics,
    openapi,
    providers_operations,
    relay_operations,
    reports_operations,
    search_operations,
    usage,
)

TAGS = {
    "Search": "Searching the web and reading pages.",
    "Passed on": "What only Tavily can do, passed on to it.",
    "Dialects": "The same in the words of Perplexity, LiteLLM, SearXNG and Open WebUI.",
    "MCP": "The same for language models, over the Model Context Protocol.",
    "Executions": "What happened in one call, and why.",
    "Reports": "What the recorded events add up to.",
    "Health": "Whether the process runs, can serve, and how its parts are.",
    "Providers": "Whom the gateway asks, and in which order.",
    "Keys": "Who may ask, and for what.",
    "Cache": "How the cache is; clearing and warming it.",
    "Budget": "What may be spent, and what was.",
    "Document": "This document.",
}
"""The groups, in the order in which they are shown."""

OPERATIONS = (
    *search_operations.OPERATIONS,
    *relay_operations.OPERATIONS,
    *dialect_operations.OPERATIONS,
    *mcp_operations.OPERATIONS,
    *executions_operations.OPERATIONS,
    *executions.OPERATIONS,
    *reports_operations.OPERATIONS,
    *health.OPERATIONS,
    *metrics.OPERATIONS,
    *providers_operations.OPERATIONS,
    *keys.OPERATIONS,
    *cache.OPERATIONS,
    *cache_warm.OPERATIONS,
    *budget.OPERATIONS,
    *usage.OPERATIONS,
    *openapi.OPERATIONS,
)
