"""The tables of the architecture: who may import whom, and what; tests/test_architecture.py enforces them."""

from __future__ import annotations

MAY_IMPORT_ROOM = {
    "orchestrator": {"orchestrator"},
    "storage": {"orchestrator", "storage"},
    "api": {"orchestrator", "storage", "api", "amos_sdk"},
}

VALUES = {
    *("circuits", "model", "quota", "events", "facts", "errors", "history", "limits", "relays"),
    *("principals", "trace_context", "via"),
}
FILTER = VALUES | {"ports", "service", "outcome"}
PROVIDER = VALUES | {
    "ports",
    "providers.billing",
    "providers.key_pool",
    "providers.operator_log",
    "providers.option_checks",
    "providers.ranking",
    "providers.request_terms",
    "providers.upstream",
    "providers.upstream_faults",
}
MCP = {"providers.registry"} | {
    f"providers.mcp_{part}"
    for part in ("arguments", "faults", "options", "pages", "remote", "results", "wire")
}
JINA = {"countries"} | {f"providers.jina_{part}" for part in ("faults", "reader", "search")}
LOCAL = {
    f"providers.local_{part}"
    for part in ("database", "documents", "files", "html", "index", "query", "scan", "thread")
}
PROJECTION = {"model", "events", "facts", "history", "limits", "relays", "trace_context", "projections.fold"}
REPORT = {"errors", "events", "facts", "history", "projections", "relays", "reports"}
ANYTHING = {"*"}
GROUPS = (VALUES, FILTER, PROVIDER, PROJECTION, REPORT)  # what a file may have whether it needs it or not

# What a file of the core may import from the core; the first pattern that fits a file decides.
CORE: dict[str, set[str]] = {
    "__init__.py": set(),
    "*/__init__.py": set(),
    **dict.fromkeys((f"{name}.py" for name in (*sorted(VALUES), "api_keys")), VALUES),
    "event_types.py": {"events", "facts"},
    "ports.py": VALUES | {"api_keys", "executions", "reports.report", "reports.totals"},
    "record_watch.py": VALUES
    | {"ports", "budget_audit", "budget_policy", "reports.report", "reports.totals"},
    "health.py": VALUES
    | {"budget_policy", "filters.circuit_breaker", "reconciliation", "record_watch", "reports.totals"}
    | {"providers.guard", "providers.registry"},
    "key_ring.py": VALUES | {"api_keys", "ports"},
    "cache_admin.py": VALUES | {"ports", "background"},
    "key_admin.py": VALUES | {"api_keys", "ports", "key_ring"},
    "service.py": {"model"},
    "outcome.py": {"events", "errors"},
    "bulkhead.py": {"errors"},
    "cooldown.py": {"errors"},
    "canonical.py": {"model"},
    "checks.py": {"addresses", "errors", "limits", "sanitise"},
    "relay_stream.py": VALUES | {"sanitise"},
    "relaying.py": VALUES
    | {"addresses", "fallback", "filters.validate_relay", "outcome", "ports", "relay_stream", "service"},
    "asked.py": {"model"},
    "executions.py": set(),
    **{
        f"{name}.py": set()
        for name in (
            "addresses",
            "clock",
            "countries",
            "error_pages",
            "links",
            "patience",
            "quota",
            "sanitise",
        )
    },
    "background.py": {"ports"},
    **dict.fromkeys(("recorder.py", "strangers.py"), VALUES | {"ports"}),
    "hedging.py": VALUES | {"ports"},
    "fallback.py": VALUES | {"ports", "service", "outcome", "hedging", "projections.executions"},
    "last_resort.py": VALUES | {"service", "outcome", "fallback", "projections.executions"},
    "per_url.py": VALUES | {"patience", "service", "projections.executions"},
    "circuit_sharing.py": VALUES | {"ports", "filters.circuit_breaker"},
    "budget_ports.py": set(),
    "budget_policy.py": VALUES | {"budget_ports"},
    "cashier.py": VALUES | {"budget_ports", "ports"},
    "budget_audit.py": VALUES | {"background", "budget_policy", "budget_ports", "ports", "reports.report"},
    "reconciliation.py": VALUES
    | {"background", "budget_ports", "ports", "projections.ledger", "reports.report"},
    "budgets.py": VALUES | {"budget_audit", "reconciliation", "reports.metrics"},
    "filters/budget.py": FILTER | {"budget_policy", "budget_ports", "cashier"},
    "registrations.py": VALUES
    | {
        "background",
        "ports",
        "projections.fold",
        "projections.registrations",
        "providers.registry",
        "roster",
    },
    "provider_options.py": VALUES,
    "provider_admin.py": VALUES
    | {"ports", "projections.registrations", "provider_options", "providers.registry", "recorder"}
    | {"registrations"},
    "roster.py": VALUES | {"ports", "providers.guard", "providers.registry"},
    "plugin.py": VALUES | {"ports", "providers.registry", "providers.upstream", "providers.upstream_faults"},
    "usage.py": VALUES | {"budget_policy", "ports", "projections.ledger", "reports.report"},
    **dict.fromkeys(("parts.py", "chain.py", "pipeline.py"), ANYTHING),
    "warming_plan.py": VALUES | {"asked", "canonical", "ports", "filters.validate"},
    "warming.py": VALUES | {"ports", "pipeline", "recorder", "warming_plan", "filters.circuit_breaker"},
    "warming_schedule.py": VALUES | {"ports", "projections.fold", "warming"},
    "gateway.py": VALUES
    | {"ports", "pipeline", "recorder", "key_admin", "health", "record_watch", "reports.metrics"}
    | {
        "budgets",
        "bulkhead",
        "cache_admin",
        "executions",
        "provider_admin",
        "usage",
        "warming",
        "filters.authenticate",
        "filters.circuit_breaker",
        "providers.guard",
    },
    "filters/authenticate.py": FILTER | {"key_ring", "strangers"},
    "filters/circuit_breaker.py": FILTER | {"cooldown"},
    "cache_policy.py": VALUES | {"ports"},
    "refreshes.py": VALUES | {"ports", "service"},
    "filters/cache.py": FILTER
    | {"cache_policy", "canonical", "patience", "projections.executions", "refreshes"},
    "filters/cache_fill.py": FILTER | {"cache_policy"},
    "filters/deadline.py": FILTER | {"patience"},
    "filters/validate.py": FILTER | {"checks", "countries"},
    "filters/validate_relay.py": FILTER | {"checks"},
    "filters/public_address.py": FILTER | {"addresses"},
    "filters/validate_result.py": FILTER | {"error_pages", "links", "sanitise"},
    "filters/*.py": FILTER,
    "providers/tavily*.py": PROVIDER
    | {f"providers.tavily_{part}" for part in ("relay", "relay_wire", "tasks", "wire")},
    "providers/jina*.py": PROVIDER | JINA,
    "providers/local*.py": PROVIDER | LOCAL,
    "providers/mcp*.py": PROVIDER | MCP,
    "providers/searxng*.py": PROVIDER | {"countries", "providers.registry", "providers.searxng_wire"},
    "providers/stepping.py": set(),
    "providers/answer_check.py": PROVIDER | {"providers.soundness"},
    "providers/guard.py": PROVIDER
    | {f"providers.{part}" for part in ("answer_check", "soundness", "stepping")},
    "providers/registry.py": PROVIDER | {"providers.guard", "providers.soundness"},
    "providers/conformance/*.py": PROVIDER
    | {"outcome", "filters.validate_result"}
    | {f"providers.{part}" for part in ("answer_check", "conformance", "soundness", "stepping")},
    "providers/*.py": PROVIDER,
    "projections/executions.py": PROJECTION | {"projections.sentences"},
    "projections/log_lines.py": PROJECTION
    | {"projections.sentences", "projections.span_attributes", "projections.spans"},
    "projections/fact_lines.py": PROJECTION | {"projections.log_lines", "projections.sentences"},
    "projections/latency.py": PROJECTION | {"projections.buckets"},
    "projections/spans.py": PROJECTION | {"errors", "projections.span_attributes"},
    "projections/*.py": PROJECTION,
    "reports/*.py": REPORT,
}

# What a file of the core may import from other people; every pattern that fits a file counts.
CORE_FOREIGN: dict[str, set[str]] = {
    "*": {"msgspec", "uuid_utils"},
    "filters/circuit_breaker.py": {"pybreaker"},
    "sanitise.py": {"nh3"},
    "providers/*.py": {"httpx"},
    "providers/upstream*.py": {"httpx_aiohttp", "aiohttp"},
    "providers/local_html.py": {"selectolax"},
}

# Where a library may be imported at all, within the rooms and alembic/.
LIBRARY_HOMES = {
    "nh3": ("orchestrator/sanitise.py",),
    "starlette": ("api/*",),
    "hypercorn": ("api/*",),
    "prometheus_client": ("api/rest/exposition.py",),
    "sqlalchemy": ("storage/sql_*.py", "storage/migrat*.py", "alembic/*"),
    "alembic": ("storage/sql_*.py", "storage/migrat*.py", "alembic/*"),
    "redis": ("storage/redis_*.py",),
    "pydantic_settings": ("api/settings*.py",),
    "opentelemetry": ("api/telemetry.py",),
    "structlog": ("api/logs/formats.py",),
    "ecs_logging": ("api/logs/formats.py",),
}

# The second builds the environment of a child; the third is that of other people's programs.
READS_ENVIRONMENT = {"api/settings.py", "api/supervisor.py", "api/sdk/amos_sdk/configuration.py"}
NAMES_BOTH_SIDES = {"api/composition.py", "api/settings.py"}  # the second takes defaults from all policies
CONCRETE = ("orchestrator.filters.", "orchestrator.providers.", "orchestrator.pipeline")
