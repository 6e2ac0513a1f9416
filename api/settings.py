"""The configuration in force: the only reader of the environment.

Three places are read once, a later one winning: the secret files of `AMOS_SECRETS_DIR`, the `.env` file of
the working directory, the environment. A secret file is named like the variable it stands for, in either case
(`/run/secrets/tavily_api_key`). An empty value means "not set". All faults are told in one message, which
never repeats a value: it may be a key that went into the wrong variable.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from typing_extensions import override

from api.settings_cache import CacheSettings
from api.settings_chain import ChainSettings
from api.settings_logs import LogSettings
from api.settings_mcp import McpSettings
from api.settings_money import MoneySettings
from api.settings_values import (
    PREFIX,
    ApiKey,
    OptionalWebAddress,
    Pepper,
    RedisUrl,
    absolute,
    absolute_or_none,
    conventional,
    database_address,
    default_database_url,
    exact_origins,
    host_patterns,
    is_loopback_address,
    listening_address,
    lower,
    networks,
    prefixes,
    readable_file,
    split,
)
from orchestrator import limits
from orchestrator.errors import SettingsError
from orchestrator.filters.concurrency import ConcurrencyPolicy
from orchestrator.filters.rate_limit import RateLimitPolicy

SECRETS_DIR = "AMOS_SECRETS_DIR"
"""Names the folder of secret files. Not a setting itself: it says where settings are."""

NOT_SETTINGS = frozenset({SECRETS_DIR, "AMOS_PYTHON", "AMOS_URL"})
"""Variables with our prefix that others read: the second is the launcher's, the third the Python client's."""

PROJECT_DOCS = Path(__file__).resolve().parent.parent / "docs"
"""What the local provider searches when there is nothing else to search."""


def _opentelemetry(name: str) -> Any:
    """A setting that is not set, under OpenTelemetry's name and its twin with our prefix."""
    return Field(default=None, validation_alias=conventional(f"OTEL_{name}"))


_RATES = RateLimitPolicy()
"""A default lives once, beside its mechanism; settings only override it."""


class Settings(CacheSettings, ChainSettings, LogSettings, McpSettings, MoneySettings, BaseSettings):
    """Everything that can be configured, checked and frozen. Durations are seconds, sizes bytes.

    Made by `load`; `Settings(...)` itself reads nothing and takes fields by name, for tests and embedding.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True
    )

    # --- serving
    host: Annotated[str, AfterValidator(listening_address)] = "127.0.0.1"
    """The address to listen on. One that other machines reach needs keys, and TLS or a proxy."""
    port: int = Field(default=8000, ge=0, le=65_535)
    """0 takes a free port."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that serve; more than one share what they must through Redis."""
    root_paths: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(split(",")), AfterValidator(prefixes)
    ] = ()
    """Path prefixes under which everything is served as well, for clients that insist on one."""
    console: bool = True
    """Whether the pages for people are served at `/`."""
    path_keys: bool = False
    """Whether a key may stand in the path, `/searxng/<key>/search`, for clients that cannot send a header."""
    deadline_s: float = Field(default=limits.DEADLINE_S, gt=0, le=600)
    """Total time of a search, retries and fallbacks included."""

    # --- doors: under which names, for whose pages, behind which proxies, and whether encrypted
    allowed_hosts: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(split(",")), AfterValidator(host_patterns)
    ] = ()
    """Host headers to answer beside this machine's own names; `*.example.org` is every name below it."""
    allowed_origins: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(split(",")), AfterValidator(exact_origins)
    ] = ()
    """Origins of other sites whose pages may ask, with a key, and read the answers."""
    trusted_proxies: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(split(",")), AfterValidator(networks)
    ] = ()
    """Networks of the proxies that are believed who the client is and whether it came by TLS."""
    tls_cert_file: Annotated[Path | None, AfterValidator(readable_file)] = None
    """The certificate with its chain, in PEM; with its key it makes the gateway serve HTTPS only."""
    tls_key_file: Annotated[Path | None, AfterValidator(readable_file)] = None
    redirect_port: int | None = Field(default=None, ge=0, le=65_535)
    """A port on which plain HTTP is sent to HTTPS; 0 takes a free one, `None` opens none."""

    # --- shared
    redis_url: RedisUrl = Field(default=None, validation_alias=conventional("REDIS_URL"))
    """What several processes share; `None` keeps to this one. A secret, because it may hold a password."""
    redis_timeout_s: float = Field(default=limits.REDIS_TIMEOUT_S, gt=0, le=1)
    """What Redis may take for an answer before it counts as out of reach."""

    # --- keeping
    data_dir: Annotated[Path, AfterValidator(absolute)] = Field(default=Path("var"), validate_default=True)
    """Folder of the database, the journal and the local index."""
    database_url: Annotated[str, AfterValidator(database_address)] = Field(
        default_factory=default_database_url, validation_alias=conventional("DATABASE_URL"), repr=False
    )
    """The event log and its projections; by default amos.db in the data folder. May hold a password."""
    events_durability: Annotated[Literal["process", "disk"], BeforeValidator(lower)] = "process"
    """What an answered call survives: the death of the process, or a power loss as well."""
    journal_max_bytes: int = Field(default=limits.JOURNAL_BYTES_MAX, ge=limits.JOURNAL_SEGMENT_BYTES)
    """With more than this not yet in the database the instance stops accepting calls."""
    store_query_text: bool = True
    """Whether the text of queries is kept, in a table of its own that can be erased."""

    # --- keys
    key_pepper: Pepper = None
    """What keys are hashed with; `None` takes the file in the data folder, which suits one machine."""
    bootstrap_admin_key_file: Annotated[Path | None, AfterValidator(absolute_or_none)] = None
    """A file with the first admin key, which is made known when the server starts."""
    key: ApiKey = None
    """The key that the command line shows to a server."""

    # --- limits
    rate_burst: int = Field(default=_RATES.burst, ge=1)
    rate_per_minute: int = Field(default=_RATES.per_minute, ge=1)
    rate_per_hour: int = Field(default=_RATES.per_hour, ge=1)
    anonymous_per_minute: int = Field(default=0, ge=0)
    """How much each address may ask without a key; 0 serves nobody without one."""
    concurrency_max: int = Field(default=ConcurrencyPolicy().calls_max, ge=1)
    """Calls a worker has under way at once; who comes beyond is told to come back."""

    # --- traces
    otlp_endpoint: OptionalWebAddress = _opentelemetry("EXPORTER_OTLP_ENDPOINT")
    """The collector; `/v1/traces` is added. `None`, and no other address: nothing is exported."""
    otlp_traces_endpoint: OptionalWebAddress = _opentelemetry("EXPORTER_OTLP_TRACES_ENDPOINT")
    """The address for traces as it is, in place of the other."""
    otlp_headers: SecretStr | None = _opentelemetry("EXPORTER_OTLP_HEADERS")
    """Headers for the collector, `name=value` separated by commas. A secret, because one may be a key."""
    otel_disabled: bool = Field(default=False, validation_alias=conventional("OTEL_SDK_DISABLED"))
    traces_sample_ratio: float | None = Field(default=None, ge=0, le=1)
    """The share of traces to export; `None` leaves it to `OTEL_TRACES_SAMPLER`, which means all."""
    traces_slow_s: float = Field(default=2.0, ge=0)
    """A call that takes as long is exported whatever the share."""

    @classmethod
    @override
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in: `load` merges the layers, so that an `AMOS_` name wins in any of them."""
        return (init_settings,)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        """What one setting demands of another; each fault names both."""
        if self.workers > 1 and self.redis_url is None:
            raise ValueError(
                "AMOS_WORKERS: more than one worker needs AMOS_REDIS_URL, because each on its own would "
                "count limits and identical searches for itself"
            )
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("AMOS_TLS_CERT_FILE and AMOS_TLS_KEY_FILE: set both, or neither")
        if self.redirect_port is not None and self.tls_cert_file is None:
            raise ValueError("AMOS_REDIRECT_PORT: needs AMOS_TLS_CERT_FILE and AMOS_TLS_KEY_FILE")
        if self.warms and not self.store_query_text:
            raise ValueError(
                "AMOS_WARM_AT and AMOS_WARM_EVERY_S: with AMOS_STORE_QUERY_TEXT=false nobody knows what to "
                "ask again"
            )
        if self.warms and self.cache_scope == "client":
            raise ValueError(
                "AMOS_WARM_AT and AMOS_WARM_EVERY_S: with AMOS_CACHE_SCOPE=client every answer is a client's "
                "own, and none can be fetched for all"
            )
        return self

    @property
    def warms(self) -> bool:
        """Whether the cache is warmed by itself."""
        return bool(self.warm_at or self.warm_every_s)

    @property
    def exports_traces(self) -> bool:
        """Whether there is a collector and nobody has switched it off."""
        return not self.otel_disabled and bool(self.otlp_endpoint or self.otlp_traces_endpoint)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the address we listen on."""
        return is_loopback_address(self.host)

    @property
    def has_own_database(self) -> bool:
        """Whether the database is the file in the data folder, which no other machine shares."""
        return self.database_url == default_database_url({"data_dir": self.data_dir})

    @property
    def local_folders(self) -> tuple[Path, ...]:
        """What `local` searches: its folders, or else the project's docs if no web provider has a key."""
        if self.local_paths or any(self.api_keys(name) for name in self.providers):
            return self.local_paths
        return (PROJECT_DOCS,) if PROJECT_DOCS.is_dir() else ()

    def api_keys(self, provider: str) -> tuple[str, ...]:
        """The keys of a web provider in clear text, in order, none without one. For the provider alone."""
        keys: SecretStr | None = getattr(self, f"{provider}_api_key", None)
        return tuple(keys.get_secret_value().split(",")) if keys is not None else ()

    def masked(self) -> dict[str, str]:
        """Every setting by the name of its variable, as text that may be shown: a key only as set or not."""
        return {variables(field)[0]: _shown(getattr(self, field)) for field in type(self).model_fields}


def variables(field: str) -> tuple[str, ...]:
    """The variables of a setting; the first wins."""
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (PREFIX + field.upper(),)


def load(env: Mapping[str, str] | None = None, env_file: Path | None = None) -> Settings:
    """Read the configuration.

    `env` stands in for the whole environment; `None` means the process's own and, unless `env_file` names
    another, the `.env` file of the working directory. A missing `env_file` is an empty one. Raises
    SettingsError with every fault in one message.
    """
    if env is None:
        env, env_file = os.environ, env_file or Path(".env")
    written = {**_read_env_file(env_file), **env}
    secrets, faults = _read_secrets(written.get(SECRETS_DIR, ""))
    given = {name: value.strip() for name, value in {**secrets, **written}.items() if value.strip()}
    faults += _unknown(given)
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in given.items()}
    try:
        settings = Settings(**source())
    except ValidationError as error:
        faults += _faults(error, given)
    else:
        if not faults:
            return settings
    raise SettingsError(
        "AMOS cannot start with this configuration:\n" + "\n".join(f"  {fault}" for fault in faults)
    )


def time_zone() -> str:
    """The time zone that the environment names (TZ, tzset(3)), `""` if none; times are shown in it."""
    return os.environ.get("TZ", "").removeprefix(":")


def wants_colour() -> bool:
    """Whether a terminal may be written to in colour (no-color.org; a dumb one cannot show any)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def journal_stream() -> str:
    """What systemd has connected to its journal (systemd.exec(5), JOURNAL_STREAM), `""` if nothing."""
    return os.environ.get("JOURNAL_STREAM", "")


def _read_env_file(path: Path | None) -> dict[str, str]:
    """The variables of a `.env` file, none if there is no such file."""
    if path is None or not path.is_file():
        return {}
    read = DotEnvSettingsSource(Settings, env_file=path, case_sensitive=True).env_vars
    return {name: value for name, value in read.items() if value is not None}


def _read_secrets(folder: str) -> tuple[dict[str, str], list[str]]:
    """The variables that stand as files in the folder, and what could not be read; `""` is no folder."""
    if not folder:
        return {}, []
    secrets: dict[str, str] = {}
    faults: list[str] = []
    try:
        files = [
            file
            for file in sorted(Path(folder).expanduser().iterdir())
            if _variable_of(file) and file.is_file()
        ]
    except OSError as error:
        return {}, [f"{SECRETS_DIR}: {error.strerror}"]
    for file in files:
        try:
            secrets[_variable_of(file)] = file.read_text(encoding="utf-8")
        except OSError as error:
            faults.append(f"{SECRETS_DIR}: {file.name}: {error.strerror}")
        except UnicodeDecodeError:
            faults.append(f"{SECRETS_DIR}: {file.name}: not text in UTF-8")
    return secrets, faults


def _variable_of(file: Path) -> str:
    """The variable a secret file stands for, `""` if it is none of ours."""
    name = file.name.upper()
    return name if name.startswith(PREFIX) or name in _names() else ""


def _names() -> list[str]:
    """Every variable that means something, in the order of the settings."""
    return [name for field in Settings.model_fields for name in variables(field)]


def _unknown(names: Iterable[str]) -> list[str]:
    """A fault for each variable with our prefix that nobody reads."""
    known = [*_names(), *NOT_SETTINGS]
    faults = []
    for name in sorted(set(names)):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
            hint = f"did you mean {near[0]}?" if near else ".env.example has them all"
            faults.append(f"{name}: unknown setting; {hint}")
    return faults


def _faults(error: ValidationError, given: Mapping[str, str]) -> list[str]:
    """One line for each fault: the variable at fault and what is wrong with it, never its value."""
    by_alias = {variables(field)[0]: field for field in Settings.model_fields}
    faults = []
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        if fault["type"] == "default_factory_not_called":
            continue  # follows from another fault, which is in the list
        if not fault["loc"]:  # settings that do not fit together: the sentence names them
            faults.append(fault["msg"].removeprefix("Value error, "))
            continue
        place = str(fault["loc"][0])
        names = variables(by_alias.get(place, place))
        name = next((name for name in names if name in given), names[0])
        faults.append(f"{name}: {fault['msg'].removeprefix('Value error, ')}")
    return faults


def _shown(value: Any) -> str:
    """A setting for people; a key shows only that it is there, an address not its password."""
    if value is None:
        return "not set"
    if isinstance(value, SecretStr):
        return "set, not shown"
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value) or "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ", ".join(value) or "none"
    return re.sub(r"(?<=://)([^:@/]*):[^@/]*@", r"\1:***@", str(value))
