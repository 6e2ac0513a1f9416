"""What stands at the end of each command's help and in the manual: examples, exit codes, environment, more.

An entry for each command, by its path; a test compares the table with the commands, and every variable with
the settings.
"""

from __future__ import annotations

from typing import NamedTuple

EXIT_CODES = {
    "0": "done",
    "1": "failed; a sentence on standard error says why, and what to do",
    "2": "the command line or the request is wrong",
    "130": "ended by Ctrl-C",
}

SETTINGS = "Every setting counts, such as AMOS_DATA_DIR; .env.example explains them all."

RECORD = ("AMOS_DATA_DIR", "AMOS_DATABASE_URL")

ASKS = ("AMOS_KEY", *RECORD)
"""Of a command that asks a server with `--url`, or else works on the record itself."""


class Text(NamedTuple):
    """What a command's help ends with.

    `examples` are command lines, each with what it does; `exit_codes` say more of a code than `EXIT_CODES`.
    """

    examples: tuple[tuple[str, str], ...]
    environment: tuple[str, ...]
    see: tuple[str, ...]
    exit_codes: tuple[tuple[str, str], ...] = ()


TEXTS: dict[str, Text] = {
    "serve": Text(
        (
            ("amos serve", "Serve on 127.0.0.1:8000."),
            ("amos serve --host 0.0.0.0 --port 8443", "Serve others; needs keys, and TLS or a proxy."),
            ("amos serve --print-settings", "See what is in force, keys masked."),
        ),
        ("AMOS_HOST", "AMOS_PORT", "AMOS_WORKERS", "AMOS_DATA_DIR"),
        ("amos doctor", "docs/operations/running.md", ".env.example"),
    ),
    "recorder": Text(
        (("amos recorder", "Record for servers that run without one."),),
        RECORD,
        ("amos serve", "docs/operations/running.md"),
    ),
    "search": Text(
        (
            ("amos search circuit breaker", "Search here, without a server."),
            ("amos search --url 127.0.0.1:8000 -n 3 tide tables", "Ask a server for three results."),
            ("printf 'tides\\nmoon\\n' | amos search - --json", "Search each line; a JSON object a line."),
        ),
        ("AMOS_KEY", "AMOS_PROVIDERS", "AMOS_LOCAL_PATHS", "TAVILY_API_KEY", "JINA_API_KEY", *RECORD),
        ("amos extract", "amos events show", "docs/cli.md"),
        (("1", "failed; of several queries, at least one did"),),
    ),
    "extract": Text(
        (
            ("amos extract https://example.org/tides", "Print the text of a page as Markdown."),
            ("amos extract --format text - < urls.txt", "Read every page of a list."),
        ),
        ("AMOS_KEY", "TAVILY_API_KEY", "JINA_API_KEY", *RECORD),
        ("amos search", "docs/cli.md"),
        (("1", "failed; of more than 20 URLs, at least one call of 20 did"),),
    ),
    "mcp": Text(
        (("amos mcp", "Started by an MCP client, not by hand."),),
        ("AMOS_PROVIDERS", "AMOS_LOCAL_PATHS", "TAVILY_API_KEY", "JINA_API_KEY", *RECORD),
        ("docs/mcp.md",),
    ),
    "report": Text(
        (
            ("amos report hit-rate --by hour", "How much the cache answers, hour by hour."),
            ("amos report cost --since 30d --by client --csv", "What each client cost, for a spreadsheet."),
            ("amos report health --url 127.0.0.1:8000 --json", "Ask a server; JSON for programs."),
        ),
        (*ASKS, "TZ"),
        ("amos budget", "amos events", "docs/reports.md"),
    ),
    "executions": Text(
        (
            ("amos executions --since 1h --outcome failed", "What failed in the last hour."),
            ("amos executions --text 'tide tables' --min-duration 2", "Slow searches for something."),
            ("amos executions --client team --csv > calls.csv", "What a client asked, for a spreadsheet."),
        ),
        ASKS,
        ("amos events show", "amos report", "docs/reports.md"),
    ),
    "budget": Text(
        (
            ("amos budget", "Every limit, and what was spent of it."),
            ("amos budget --reconcile --url 127.0.0.1:8000", "Compare with what the providers counted."),
        ),
        ("AMOS_BUDGET_USD_PER_DAY", "AMOS_BUDGET_USD_PER_MONTH", *ASKS),
        ("amos report cost", "docs/operations/budgets.md"),
    ),
    "events tail": Text(
        (
            ("amos events tail -f", "Watch what is recorded, until Ctrl-C."),
            ("amos events tail -n 5 --type attempt.failed --json", "The last five failures, as JSON."),
        ),
        RECORD,
        ("amos events show", "docs/events.md"),
    ),
    "events show": Text(
        (
            ("amos events show 01a2219c-6f1c-7319-ad15-fc7e3eb4aa78", "Explain one call, step by step."),
            ("amos events show ID --url 127.0.0.1:8000 --json", "The same of a server's call, as JSON."),
        ),
        ASKS,
        ("amos events tail", "docs/events.md"),
        (("1", "failed; also if there is no such execution after 5 seconds"),),
    ),
    "events verify": Text(
        (("amos events verify --json", "Check the figures in use; for a nightly job."),),
        RECORD,
        ("amos events replay", "docs/events.md"),
        (("1", "failed, or a figure differs, or a frame is missing"),),
    ),
    "events replay": Text(
        (("amos events replay", "Count everything again, and use the result."),),
        RECORD,
        ("amos events verify", "docs/events.md"),
        (("1", "failed, or nothing was replaced"),),
    ),
    "events prune": Text(
        (
            ("amos events prune --before 90d --dry-run", "Say what would go."),
            ("amos events prune --before 2026-01-01 --yes", "Delete it without a question."),
        ),
        RECORD,
        ("amos events export", "docs/operations/running.md"),
        (("2", "the command line is wrong, or nobody is there to be asked and --yes is missing"),),
    ),
    "events export": Text(
        (
            ("amos events export --since 7d -o events.jsonl", "A week of events into a file."),
            ("amos events export --format csv --type attempt | gzip > a.csv.gz", "Into a pipe."),
        ),
        RECORD,
        ("amos events prune", "docs/events.md"),
        (("1", "failed, or rows that hold no events were left out"),),
    ),
    "events erase": Text(
        (
            ("amos events erase --client acme --dry-run", "How many texts that would be."),
            ("amos events erase --query - --yes < texts.txt", "Erase each line of a list."),
        ),
        ("AMOS_STORE_QUERY_TEXT", *RECORD),
        ("docs/events.md", "docs/security.md"),
        (("2", "the command line is wrong, or nobody is there to be asked and --yes is missing"),),
    ),
    "providers list": Text(
        (("amos providers list --url 127.0.0.1:8000", "Who is asked there, in which order."),),
        (*ASKS, "AMOS_PROVIDERS"),
        ("amos providers add", "docs/operations/providers.md"),
    ),
    "providers kinds": Text(
        (("amos providers kinds --json", "Every kind, with the JSON Schema of its options."),),
        ASKS,
        ("amos providers add", "docs/operations/providers.md"),
    ),
    "providers add": Text(
        (
            (
                "amos providers add intern --kind searxng -o url=https://searx.example.org",
                "Ask a SearXNG of your own, behind the others.",
            ),
            ("amos providers add wiki --kind mcp --options-file wiki.json", "Options from a file."),
        ),
        ASKS,
        ("amos providers kinds", "amos providers test", "docs/operations/providers.md"),
    ),
    "providers move": Text(
        (("amos providers move intern 5", "Ask it before those with a higher number."),),
        ASKS,
        ("amos providers list", "docs/operations/providers.md"),
    ),
    "providers enable": Text(
        (("amos providers enable intern", "Ask it again."),),
        ASKS,
        ("amos providers disable", "docs/operations/providers.md"),
    ),
    "providers disable": Text(
        (("amos providers disable tavily", "Ask it no more, from now on."),),
        ASKS,
        ("amos providers enable", "docs/operations/providers.md"),
    ),
    "providers remove": Text(
        (("amos providers remove intern", "Forget one that was registered."),),
        ASKS,
        ("amos providers disable", "docs/operations/providers.md"),
    ),
    "providers test": Text(
        (("amos providers test intern", "Hold it against the contract, with real questions."),),
        ("AMOS_PROVIDERS", "AMOS_PROVIDER_OPTIONS", "AMOS_PROVIDER_SECRETS"),
        ("amos doctor", "docs/plugins.md"),
        (("1", "failed, or a rule is broken"),),
    ),
    "index": Text(
        (
            ("amos index", "Bring the index of AMOS_LOCAL_PATHS up to date."),
            ("amos index /srv/handbook", "Read one more folder, too."),
        ),
        ("AMOS_LOCAL_PATHS", "AMOS_DATA_DIR"),
        ("amos search", "docs/cli.md"),
    ),
    "doctor": Text(
        (
            ("amos doctor", "What is wrong here, the worst first."),
            ("amos doctor --url 127.0.0.1:8000", "What a running server says of itself."),
            ("amos doctor --online --json", "Ask each provider once as well; JSON for programs."),
        ),
        (SETTINGS,),
        ("docs/operations/running.md",),
        (("1", "failed, or a failure was found"),),
    ),
    "cache stats": Text(
        (("amos cache stats --url 127.0.0.1:8000", "What a server holds, and may hold."),),
        ("AMOS_KEY", "AMOS_REDIS_URL", "AMOS_L1_MAX_BYTES"),
        ("amos report hit-rate", "docs/operations/caching.md"),
    ),
    "cache clear": Text(
        (("amos cache clear --tier l2 --yes", "Empty what instances share, without a question."),),
        ("AMOS_KEY", "AMOS_REDIS_URL"),
        ("amos cache stats", "docs/operations/caching.md"),
        (("2", "the command line is wrong, or nobody is there to be asked and --yes is missing"),),
    ),
    "cache warm": Text(
        (
            ("amos cache warm --dry-run --url 127.0.0.1:8000", "What would be fetched, and its price."),
            ("amos cache warm --top 50 --budget 0.50 --yes", "Spend half a dollar at most."),
        ),
        ("AMOS_WARM_TOP", "AMOS_WARM_USD_MAX", "AMOS_KEY", "AMOS_REDIS_URL"),
        ("amos report queries", "docs/operations/caching.md"),
        (("1", "failed, or nothing could be fetched"),),
    ),
    "keys create": Text(
        (
            ("amos keys create --client boss --admin", "The first key, which may do everything."),
            ("amos keys create --client acme --expires 90d --url https://amos.example.org", "On a server."),
        ),
        (*ASKS, "AMOS_KEY_PEPPER"),
        ("amos keys list", "docs/keys.md"),
    ),
    "keys list": Text(
        (("amos keys list --json", "Every key with its scopes, limits and state."),),
        (*ASKS, "AMOS_KEY_PEPPER"),
        ("amos keys create", "docs/keys.md"),
    ),
    "keys rotate": Text(
        (("amos keys rotate 0a1b2c3d4e5f --overlap 7d", "A successor; both open for a week."),),
        (*ASKS, "AMOS_KEY_PEPPER"),
        ("amos keys revoke", "docs/keys.md"),
    ),
    "keys revoke": Text(
        (("amos keys revoke 0a1b2c3d4e5f --yes", "End it now, without a question."),),
        (*ASKS, "AMOS_KEY_PEPPER"),
        ("amos keys rotate", "docs/keys.md"),
        (("2", "the command line is wrong, or nobody is there to be asked and --yes is missing"),),
    ),
    "keys generate": Text(
        (("amos keys generate > admin.key", "A key for AMOS_BOOTSTRAP_ADMIN_KEY_FILE."),),
        ("AMOS_BOOTSTRAP_ADMIN_KEY_FILE",),
        ("amos keys create", "docs/keys.md"),
    ),
    "db upgrade": Text(
        (("amos db upgrade", "Before a new version serves on PostgreSQL."),),
        RECORD,
        ("amos db current", "docs/operations/running.md"),
    ),
    "db current": Text(
        (("amos db current --json", "What is there, and what this version needs."),),
        RECORD,
        ("amos db upgrade", "docs/operations/running.md"),
    ),
    "completion": Text(
        (
            ("source <(amos completion bash)", "In ~/.bashrc, or in a shell, for this shell alone."),
            ("amos completion zsh > ~/.zfunc/_amos", "A folder of $fpath."),
            ("amos completion fish > ~/.config/fish/completions/amos.fish", "For every fish."),
        ),
        (),
        ("amos man", "docs/cli.md"),
    ),
    "man": Text(
        (
            ("amos man > amos.1 && man -l amos.1", "Read it."),
            ("amos man > ~/.local/share/man/man1/amos.1", "Have it for `man amos`."),
        ),
        (),
        ("amos --help", "docs/cli.md"),
    ),
}
