"""Settings: three layers, one message for all faults, no secret anywhere in sight."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from api.settings import PROJECT_DOCS, Settings, load, variables
from orchestrator.errors import SettingsError
from tests.support.fuzzing import outcome

KEY = "tvly-0123456789abcdef"


def faults_of(env: dict[str, str]) -> list[str]:
    """The lines of the refusal, without its heading."""
    with pytest.raises(SettingsError) as refused:
        load(env)
    return [line.strip() for line in refused.value.message.splitlines()[1:]]


def test_nothing_set_gives_the_defaults():
    """AMOS starts on a fresh machine without any configuration."""
    settings = load({})

    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.providers == ("tavily", "jina", "local")
    assert settings.database_url == f"sqlite+aiosqlite:///{settings.data_dir / 'amos.db'}"
    assert settings.data_dir.is_absolute()


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("AMOS_PORT", "0", "port", 0),
        ("AMOS_HOST", "::1", "host", "::1"),
        ("AMOS_HOST", "127.8.8.8", "host", "127.8.8.8"),
        ("AMOS_HOST", "0.0.0.0", "host", "0.0.0.0"),
        ("AMOS_PROVIDERS", " jina , tavily,", "providers", ("jina", "tavily")),
        ("AMOS_MCP_TOOLS", "fetch, search", "mcp_tools", ("fetch", "search")),
        ("AMOS_ROOT_PATHS", "/t/, /amos/api", "root_paths", ("/t", "/amos/api")),
        ("AMOS_TAVILY_BASE_URL", "http://127.0.0.1:9/x/", "tavily_base_url", "http://127.0.0.1:9/x"),
        ("AMOS_LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("AMOS_EVENTS_DURABILITY", "Disk", "events_durability", "disk"),
        ("AMOS_STORE_QUERY_TEXT", "false", "store_query_text", False),
        ("AMOS_SEARCH_TIMEOUT_S", "2", "search_timeout_s", 2.0),
        ("AMOS_CACHE_TTL_S", "2.5", "cache_ttl_s", 2.5),
        ("AMOS_STALE_IF_ERROR_S", "0", "stale_if_error_s", 0.0),
        ("AMOS_CACHE_SCOPE", "client", "cache_scope", "client"),
        ("AMOS_DATABASE_URL", "sqlite:////srv/a.db", "database_url", "sqlite+aiosqlite:////srv/a.db"),
        ("DATABASE_URL", "postgres://a@db/b", "database_url", "postgresql+asyncpg://a@db/b"),
        ("AMOS_CIRCUIT_COOLDOWNS_S", "1, 2.5 ,60", "circuit_cooldowns_s", (1.0, 2.5, 60.0)),
        ("AMOS_TAVILY_RESET_DAY", "31", "tavily_reset_day", 31),
        ("AMOS_PORT", "", "port", 8000),
    ],
)
def test_a_value_is_read(name: str, value: str, field: str, expected: object):
    """Each kind of value is read from its variable; an empty one is not set."""
    assert getattr(load({name: value}), field) == expected


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AMOS_HOST", "example.org", "must be an address"),
        ("AMOS_KEY_PEPPER", "too short", "at least 32 characters"),
        ("AMOS_KEY", "amos_live_ with blanks", "no key has"),
        ("AMOS_PORT", "http", "valid integer"),
        ("AMOS_PORT", "65536", "less than or equal to 65535"),
        ("AMOS_WORKERS", "4", "more than one worker needs AMOS_REDIS_URL"),
        ("AMOS_WORKERS", "0", "greater than or equal to 1"),
        ("AMOS_BUDGET_USD_PER_DAY", "0.0000004", "greater than or equal to 0.000001"),
        ("AMOS_ALLOWED_HOSTS", "amos.example,https://amos.example", "entry 2 is no host"),
        ("AMOS_ALLOWED_HOSTS", "*", "entry 1 is no host"),
        ("AMOS_ALLOWED_ORIGINS", "*", "no wildcard"),
        ("AMOS_ALLOWED_ORIGINS", "https://app.example/", "without a path"),
        ("AMOS_ALLOWED_ORIGINS", "https://app.example:443", "browsers leave it out"),
        ("AMOS_TRUSTED_PROXIES", "10.0.0.1/8", "must be networks"),
        ("AMOS_TRUSTED_PROXIES", "nginx", "must be networks"),
        ("AMOS_TLS_CERT_FILE", "/no/such/file", "No such file"),
        ("AMOS_REDIRECT_PORT", "8080", "needs AMOS_TLS_CERT_FILE"),
        ("AMOS_DATABASE_URL", "postgresql://amos:p@ss@db/amos", "percent-encoded"),
        ("AMOS_DATABASE_URL", "postgresql+psycopg://amos@db/amos", "expected the address"),
        ("AMOS_DATABASE_URL", "postgresql://amos@db/amos?ssl=require", "sslmode="),
        ("AMOS_DATABASE_URL", "sqlite+aiosqlite:///:memory:", "must be a file"),
        ("DATABASE_URL", "mysql://db/x", "expected the address of a database"),
        ("AMOS_PROVIDERS", "tavily,Bing!", "lower-case letters"),
        ("AMOS_PROVIDER_OPTIONS", "[1]", "must be a JSON object"),
        ("AMOS_PROVIDER_OPTIONS", '{"Big!": {}}', "lower-case letters"),
        ("AMOS_PROVIDER_OPTIONS", '{"wiki": {"kind": 7}}', "a kind is a string"),
        ("AMOS_PROVIDER_OPTIONS", '{"wiki": {"kind": "searxng"}}', "wiki: not among AMOS_PROVIDERS"),
        ("AMOS_PROVIDER_SECRETS", '{"wiki": 7}', "whose values are strings"),
        ("AMOS_PROVIDER_SECRETS", "sk-123", "must be a JSON object"),
        ("AMOS_PROVIDERS", "jina,jina", "twice"),
        ("AMOS_PROVIDERS", ",", "names no provider"),
        ("AMOS_MCP_TOOLS", "search,browse", "expected some of search, fetch, web_search"),
        ("AMOS_MCP_TOOLS", "search,search", "each once"),
        ("AMOS_MCP_TOOLS", ",", "expected some of"),
        ("AMOS_LOCAL_PATHS", os.pathsep.join((os.curdir, "/no/such/folder")), "path 2 of 2"),
        ("AMOS_TAVILY_BASE_URL", "ftp://x", "http or https"),
        ("AMOS_JINA_READER_URL", "https://user:pw@r.example", "without user name"),
        ("AMOS_ROOT_PATHS", "amos", "begins with /"),
        ("AMOS_CIRCUIT_COOLDOWNS_S", ",", "names no duration"),
        ("AMOS_CIRCUIT_COOLDOWNS_S", "30,soon", "valid number"),
        ("AMOS_CIRCUIT_COOLDOWNS_S", "0,30", "0.1 to 86400 seconds"),
        ("AMOS_CIRCUIT_COOLDOWNS_S", "30,nan", "0.1 to 86400 seconds"),
        ("AMOS_CIRCUIT_COOLDOWNS_S", "60,30", "must not be shorter"),
        ("AMOS_TAVILY_RESET_DAY", "32", "less than or equal to 31"),
        ("AMOS_RESULTS_MIN", "21", "less than or equal to 20"),
        ("AMOS_DEADLINE_S", "0", "greater than 0"),
        ("AMOS_EVENTS_DURABILITY", "none", "'process' or 'disk'"),
        ("TAVILY_API_KEY", "tvly-1 tvly-2", "no key has"),
        ("AMOS_PROT", "8000", "did you mean AMOS_PORT?"),
        ("AMOS_REDIS_URL", "http://10.0.0.1", "no address of Redis"),
        ("REDIS_URL", "redis+sentinel://s1,s2", "names no master"),
        ("REDIS_URL", "redis+cluster://c1/1", "one database only"),
        ("REDIS_URL", "redis://:pass/word@host", "is no address"),
        ("AMOS_REDDIS_URL", "redis://x", "did you mean AMOS_REDIS_URL?"),
        ("AMOS_SECRETS_DIR", "/no/such/folder", "No such file"),
    ],
)
def test_a_fault_names_the_variable_and_the_remedy(name: str, value: str, words: str):
    """Whoever has to repair the configuration reads which variable is wrong, and why."""
    (fault,) = faults_of({name: value})

    assert fault.startswith(f"{name}: ")
    assert words in fault


def test_a_certificate_needs_its_key(tmp_path):
    """Half of what TLS needs stops the start instead of serving in clear text."""
    (tmp_path / "cert.pem").touch()

    (fault,) = faults_of({"AMOS_TLS_CERT_FILE": str(tmp_path / "cert.pem")})

    assert fault == "AMOS_TLS_CERT_FILE and AMOS_TLS_KEY_FILE: set both, or neither"


def test_the_doors_are_read():
    """Lists are separated by commas; hosts and origins are compared in lower case."""
    settings = load(
        {
            "AMOS_HOST": "0.0.0.0",
            "AMOS_ALLOWED_HOSTS": "AMOS.example, *.amos.example:8443, [2001:db8::1]",
            "AMOS_ALLOWED_ORIGINS": "https://App.example,http://localhost:3000",
            "AMOS_TRUSTED_PROXIES": "10.0.0.0/8,192.168.1.7,fd00::/8",
        }
    )

    assert settings.allowed_hosts == ("amos.example", "*.amos.example:8443", "[2001:db8::1]")
    assert settings.allowed_origins == ("https://app.example", "http://localhost:3000")
    assert settings.trusted_proxies == ("10.0.0.0/8", "192.168.1.7/32", "fd00::/8")


def test_all_faults_are_told_at_once():
    """Nobody has to start five times to find five faults."""
    faults = faults_of({"AMOS_PORT": "x", "AMOS_WORKERS": "x", "AMOS_TYPO": "1", "AMOS_DATA_DIR": "/tmp"})

    assert [fault.partition(":")[0] for fault in faults] == ["AMOS_TYPO", "AMOS_PORT", "AMOS_WORKERS"]


@pytest.mark.parametrize("field", Settings.model_fields)
def test_no_fault_repeats_the_value(field: str):
    """A key that went into the wrong variable does not end in a log."""
    _, refusal = outcome(load, {variables(field)[0]: f"{KEY}\x00 {KEY}"})

    assert refusal is None or KEY not in refusal.message


def test_the_pepper_is_taken_and_masked():
    """What keys are hashed with reaches the hashing, and nobody's eyes."""
    settings = load({"AMOS_KEY_PEPPER": KEY * 2})

    assert settings.key_pepper is not None
    assert settings.key_pepper.get_secret_value() == KEY * 2
    assert KEY not in repr(settings) + str(settings.masked())


def test_keys_are_masked_everywhere():
    """A key is seen by its provider alone."""
    settings = load({"TAVILY_API_KEY": KEY})

    assert settings.api_keys("tavily") == (KEY,)
    assert KEY not in repr(settings)
    assert settings.masked()["AMOS_TAVILY_API_KEY"] == "set, not shown"
    assert settings.masked()["AMOS_JINA_API_KEY"] == "not set"
    assert KEY not in str(settings.masked())


def test_a_provider_may_have_several_keys():
    """Keys are separated by commas, with blanks or line ends around them, and keep their order."""
    settings = load({"TAVILY_API_KEY": f" {KEY}-2 ,{KEY}-1,\n{KEY}-3,"})

    assert settings.api_keys("tavily") == (f"{KEY}-2", f"{KEY}-1", f"{KEY}-3")
    assert settings.api_keys("jina") == settings.api_keys("local") == ()
    assert KEY not in repr(settings) + str(settings.masked())


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (f"{KEY},{KEY}", "holds a key twice"),
        (",", "holds no key"),
        (f"{KEY},two words", "holds characters that no key has; was more than the key copied?"),
        (",".join(f"{KEY}-{n}" for n in range(33)), "holds more than 32 keys"),
    ],
)
def test_keys_that_cannot_be_are_a_fault(value, fault):
    """A list of keys with a slip stops the start, and the fault does not repeat it."""
    assert faults_of({"JINA_API_KEY": value}) == [f"JINA_API_KEY: {fault}"]


def test_the_password_of_the_database_is_masked():
    """An address is shown without the password in it, and not at all in a repr."""
    settings = load({"DATABASE_URL": "postgresql://amos:s3cr%40t@db:5432/amos?sslmode=require"})

    assert "s3cr%40t" in settings.database_url
    assert "s3cr" not in repr(settings)
    assert settings.masked()["AMOS_DATABASE_URL"] == (
        "postgresql+asyncpg://amos:***@db:5432/amos?sslmode=require"
    )


def test_our_name_wins_over_the_conventional_one(tmp_path):
    """The AMOS_ twin wins even when it stands in an earlier layer."""
    env_file = tmp_path / ".env"
    env_file.write_text("AMOS_TAVILY_API_KEY=ours\n")

    assert load({"TAVILY_API_KEY": "theirs"}, env_file).api_keys("tavily") == ("ours",)


def test_the_environment_wins_over_env_file_and_secrets(tmp_path):
    """Of one name the environment counts most, then .env, then the secret file."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "AMOS_PORT").write_text("1\n")
    (secrets / "amos_log_level").write_text("error\n")
    (secrets / "tavily_api_key").write_text(f"{KEY}\n")
    (secrets / "unrelated").write_bytes(b"\xff")
    env_file = tmp_path / ".env"
    env_file.write_text(f"AMOS_SECRETS_DIR={secrets}\nAMOS_PORT=2\nAMOS_LOG_LEVEL=debug\n")

    settings = load({"AMOS_PORT": "3"}, env_file)

    assert (settings.port, settings.log_level, settings.api_keys("tavily")) == (3, "debug", (KEY,))


def test_a_secret_that_is_not_text_is_a_fault(tmp_path):
    """An unreadable secret stops the start instead of being left out."""
    (tmp_path / "tavily_api_key").write_bytes(b"\xff")

    assert faults_of({"AMOS_SECRETS_DIR": str(tmp_path)}) == [
        "AMOS_SECRETS_DIR: tavily_api_key: not text in UTF-8"
    ]


def test_the_process_environment_is_the_default(tmp_path, monkeypatch):
    """Without arguments the environment and the .env file of the working directory are read."""
    (tmp_path / ".env").write_text("AMOS_PORT=8123\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMOS_DEADLINE_S", "3")

    settings = load()

    assert (settings.port, settings.deadline_s) == (8123, 3.0)


def test_settings_are_frozen():
    """Nothing changes a setting after the start."""
    with pytest.raises(ValidationError):
        load({}).port = 1


class TestLocalFolders:
    """What the local provider searches."""

    def test_without_keys_it_is_our_docs(self):
        """A fresh machine has something real to search."""
        assert load({}).local_folders == (PROJECT_DOCS,)

    def test_with_a_web_provider_it_is_nothing(self):
        """With the web at hand our own docs are no answer to anybody."""
        assert load({"JINA_API_KEY": "k"}).local_folders == ()

    def test_a_key_of_a_provider_outside_the_chain_does_not_count(self):
        """A provider that is never asked does not make the floor superfluous."""
        assert load({"JINA_API_KEY": "k", "AMOS_PROVIDERS": "local"}).local_folders == (PROJECT_DOCS,)

    def test_named_folders_are_searched_in_any_case(self, tmp_path):
        """Whoever names folders wants them searched, key or not."""
        settings = load({"JINA_API_KEY": "k", "AMOS_LOCAL_PATHS": str(tmp_path)})

        assert settings.local_folders == (tmp_path,)


@pytest.mark.parametrize(
    ("given", "exports"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, True),
        ({"AMOS_OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://traces.example.org/otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20abc"}, False),
    ],
)
def test_traces_are_exported_where_there_is_a_collector(given, exports):
    """By OpenTelemetry's own variables or their twins; its switch for everything wins."""
    settings = load(given)

    assert settings.exports_traces is exports
    assert "abc" not in str(settings.masked())
