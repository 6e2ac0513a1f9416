"""What the values of settings may be: each function makes or checks one kind of value, and reads nothing.

A fault is a ValueError whose sentence says what to write instead and never repeats the value, which may be a
key that went into the wrong variable.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
from pydantic import AfterValidator, AliasChoices, BeforeValidator, SecretStr

from orchestrator.ports import PROVIDER_NAME
from storage.redis_url import parse_redis_url
from storage.sql_address import read_address

PREFIX = "AMOS_"

PROVIDERS = ("tavily", "jina", "local")
"""The providers of a fresh installation, in their order."""

PEPPER_CHARS_MIN = 32
"""chosen: even as hexadecimal digits, the poorest common spelling, that is 128 bits."""

KEYS_MAX = 32
"""chosen: each call may be refused once by each of them before it is answered."""
COOLDOWN_S = (0.1, 86_400.0)
"""chosen: the shortest and longest cooldown. A tenth of a second is one attempt; after a day somebody should
have looked."""


def split(separator: str) -> Callable[[Any], Any]:
    """A validator that turns `a,b` into `("a", "b")`; blanks around parts and empty parts are dropped."""

    def split(value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(separator) if part.strip())
        return value

    return split


def listening_address(host: str) -> str:
    """An address a socket can listen on."""
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(
                "must be an address: 127.0.0.1, ::1 or localhost for this machine, 0.0.0.0 or :: for all"
            ) from None
    return host


def is_loopback_address(host: str) -> bool:
    """Whether only this machine can reach what listens on the address."""
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def host_patterns(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Names and addresses as they stand in a Host header, in lower case."""
    pattern = r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*(:[0-9]{1,5})?|\[[0-9a-f:.]+\](:[0-9]{1,5})?"
    hosts = tuple(host.lower() for host in hosts)
    if wrong := [str(n) for n, host in enumerate(hosts, start=1) if re.fullmatch(pattern, host) is None]:
        raise ValueError(
            f"entry {' and '.join(wrong)} is no host: write amos.example.org, amos.example.org:8443, "
            "*.example.org or [2001:db8::1], without scheme and path"
        )
    return hosts


def exact_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    """Origins as browsers send them, in lower case."""
    origins = tuple(origin.lower() for origin in origins)
    pattern = r"https?://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?"
    for number, origin in enumerate(origins, start=1):
        if re.fullmatch(pattern, origin) is None:
            raise ValueError(
                f"entry {number} is no origin: write https://app.example.org or http://localhost:3000, "
                "exactly as the browser sends it, without a path; there is no wildcard"
            )
        if re.search(r"^http://[^:]*:80$|^https://[^:]*:443$", origin):
            raise ValueError(f"entry {number} names the port that its scheme implies: browsers leave it out")
    return origins


def networks(values: tuple[str, ...]) -> tuple[str, ...]:
    """Networks or single addresses, in their usual form."""
    try:
        return tuple(str(ipaddress.ip_network(value)) for value in values)
    except ValueError:
        raise ValueError(
            "must be networks or addresses, such as 10.0.0.0/8, 192.168.1.7 or fd00::/8, whose part after "
            "the prefix is zero"
        ) from None


def readable_file(path: Path | None) -> Path | None:
    """A file that can be read, by its absolute path."""
    if path is None:
        return None
    path = absolute(path)
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None


def absolute(path: Path) -> Path:
    """The path from the root, `~` resolved."""
    return path.expanduser().absolute()


def absolute_or_none(path: Path | None) -> Path | None:
    """The path from the root, if there is one."""
    return None if path is None else absolute(path)


def folders(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """Folders that exist, as absolute paths."""
    folders = tuple(absolute(path) for path in paths)
    if missing := [str(n) for n, folder in enumerate(folders, start=1) if not folder.is_dir()]:
        raise ValueError(f"no such folder: path {' and '.join(missing)} of {len(folders)}")
    return folders


def database_address(url: str) -> str:
    """The address of a SQLite file or a PostgreSQL database, in its one spelling."""
    return read_address(url).url


def default_database_url(values: dict[str, Any]) -> str:
    """The database in the data folder of the other settings."""
    return f"sqlite+aiosqlite:///{values['data_dir'] / 'amos.db'}"


def key(value: Any) -> Any:
    """A key that could be one: printable and without blanks."""
    if isinstance(value, str) and re.fullmatch(r"[!-~]+", value) is None:
        raise ValueError("holds characters that no key has; was more than the key copied?")
    return value


def keys(value: Any) -> Any:
    """Keys separated by commas, each of which could be one, in the spelling `a,b`."""
    if not isinstance(value, str):
        return value
    found = [part.strip() for part in value.split(",") if part.strip()]
    if not found:
        raise ValueError("holds no key")
    if len(found) > KEYS_MAX:
        raise ValueError(f"holds more than {KEYS_MAX} keys")
    if len(set(found)) < len(found):
        raise ValueError("holds a key twice")
    return ",".join(map(key, found))


def redis_address(value: Any) -> Any:
    """The address of a Redis; checked only, as it is kept secret for its password."""
    if isinstance(value, str):
        parse_redis_url(value)
    return value


def pepper(value: Any) -> Any:
    """A pepper that nobody guesses."""
    if isinstance(value, str) and len(value) < PEPPER_CHARS_MIN:
        raise ValueError(
            f"must have at least {PEPPER_CHARS_MIN} characters; make one: openssl rand -base64 48"
        )
    return value


def provider_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names that providers may have, each once; whether there are such providers is found out later."""
    if not names:
        raise ValueError("names no provider")
    if len(set(names)) < len(names):
        raise ValueError("names a provider twice")
    if any(PROVIDER_NAME.fullmatch(name) is None for name in names):
        raise ValueError("a name has lower-case letters, digits and _, a letter first, and at most 32 in all")
    return names


def json_object(value: Any) -> Any:
    """A validator's first look at a setting that is a JSON object."""
    if not isinstance(value, str):
        return value
    try:
        decoded = msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        raise ValueError("must be a JSON object") from error
    if not isinstance(decoded, dict):
        raise ValueError("must be a JSON object")  # noqa: TRY004 - a validator raises ValueError
    return decoded


def options_by_name(options: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Options of providers, by the name of each."""
    provider_names(tuple(options) or PROVIDERS)
    if any(not isinstance(one.get("kind", ""), str) for one in options.values()):
        raise ValueError("a kind is a string")
    return options


def secrets_by_name(secret: SecretStr | None) -> SecretStr | None:
    """A JSON object of secrets that are text, still secret as a whole."""
    if secret is not None and any(
        not isinstance(v, str) for v in json_object(secret.get_secret_value()).values()
    ):
        raise ValueError("must be a JSON object whose values are strings")
    return secret


def cooldowns(seconds: tuple[float, ...]) -> tuple[float, ...]:
    """Durations within bounds, none shorter than the one before it."""
    if not seconds:
        raise ValueError("names no duration: write seconds separated by commas, such as 30,60,120,300,900")
    if any(not COOLDOWN_S[0] <= one <= COOLDOWN_S[1] for one in seconds):
        raise ValueError(f"each duration must be {COOLDOWN_S[0]:g} to {COOLDOWN_S[1]:g} seconds")
    if sorted(seconds) != list(seconds):
        raise ValueError("a later duration must not be shorter than the one before it")
    return seconds


def web_address(url: str) -> str:
    """An http or https address, without a slash at its end."""
    if re.fullmatch(r"https?://[^\s/?#@]+[^\s?#@]*", url) is None:
        raise ValueError("must be an http or https address without user name, query or fragment")
    return url.rstrip("/")


def prefixes(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Path prefixes, each without a slash at its end."""
    if any(re.fullmatch(r"(/[A-Za-z0-9._~-]+)+/?", path) is None for path in paths):
        raise ValueError(
            "each prefix begins with / and holds letters, digits and - . _ ~ only, such as /amos"
        )
    return tuple(path.rstrip("/") for path in paths)


def stretch_of_day(value: str | None) -> str | None:
    """A stretch of the day as `HH:MM-HH:MM`, which may go over midnight."""
    clock = r"([01][0-9]|2[0-3]):[0-5][0-9]"
    if value is not None and re.fullmatch(f"{clock}-{clock}", value) is None:
        raise ValueError("must be a stretch of the day in UTC such as 03:00-05:00")
    return value


def lower(value: Any) -> Any:
    """Text in lower case."""
    return value.lower() if isinstance(value, str) else value


def conventional(name: str) -> AliasChoices:
    """The names of a setting that also has a name everybody knows; ours wins."""
    return AliasChoices(PREFIX + name, name)


WebAddress = Annotated[str, AfterValidator(web_address)]
OptionalWebAddress = WebAddress | None
ApiKey = Annotated[SecretStr | None, BeforeValidator(key)]
ApiKeys = Annotated[SecretStr | None, BeforeValidator(keys)]
RedisUrl = Annotated[SecretStr | None, BeforeValidator(redis_address)]
Pepper = Annotated[SecretStr | None, BeforeValidator(pepper)]
