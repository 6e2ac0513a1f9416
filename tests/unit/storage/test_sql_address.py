"""Addresses of databases: one spelling for each, clear refusals, and no password where people look."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.sql_address import PARAMETERS, POSTGRESQL, SQLITE, read_address

PASSWORD = "s3cret%2F"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_every_spelling_of_postgresql_is_one(scheme):
    """Whatever the platform calls it, the driver is asyncpg."""
    found = read_address(f"{scheme}://amos:{PASSWORD}@db:5432/amos?sslmode=verify-full&sslrootcert=/ca.pem")

    assert found.engine == POSTGRESQL
    assert found.url == (
        f"postgresql+asyncpg://amos:{PASSWORD}@db:5432/amos?sslmode=verify-full&sslrootcert=/ca.pem"
    )
    assert found.path is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://amos:{PASSWORD}@db/amos", "postgresql+asyncpg://amos:***@db/amos"),
        ("postgresql://amos@db/amos", "postgresql+asyncpg://amos@db/amos"),
        ("postgresql://[::1]:5432/amos", "postgresql+asyncpg://[::1]:5432/amos"),
        ("postgresql://a:b@one:1,two:2/amos", "postgresql+asyncpg://a:***@one:1,two:2/amos"),
        ("postgresql:///amos?host=/run/postgresql", "postgresql+asyncpg:///amos?host=/run/postgresql"),
        ("sqlite:///var/amos.db", "var/amos.db"),
    ],
)
def test_an_address_is_shown_without_its_password(url, shown):
    """People see where the database is, and not how to get in."""
    assert read_address(url).shown == shown


def test_a_file_has_a_path():
    """Of SQLite the file is known, relative or from the root."""
    found = read_address("sqlite+aiosqlite:////srv/amos.db")

    assert (found.engine, found.path) == (SQLITE, Path("/srv/amos.db"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "expected the address"),
        ("s3cret", "expected the address"),
        ("postgresql+psycopg2://amos:s3cret@db/amos", "expected the address"),
        ("postgresql://amos:s3cret@db", "percent-encoded"),
        ("postgresql://amos:s3cret@db/", "percent-encoded"),
        ("postgresql://amos:s3cret@more@db/amos", "percent-encoded"),
        ("postgresql://amos:s3cret/more@db/amos", "percent-encoded"),
        ("postgresql://amos:s3cret#more@db/amos", "percent-encoded"),
        ("postgresql://db/amos?password=s3cret", "an unknown parameter"),
        ("postgresql://db/amos?options=-csearch_path%3Ds3cret", "an unknown parameter"),
        ("postgresql://db/amos?ssl=s3cret", "sslmode="),
        ("postgresql://db/amos?sslmode=s3cret", "must be one of disable"),
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("sqlite:///s3cret?mode=ro", "must be a file"),
    ],
)
def test_what_is_not_served_is_refused(url, words):
    """A refusal says what to write and repeats nothing of what was written."""
    with pytest.raises(ValueError, match=words) as refusal:
        read_address(url)

    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_known_parameter_passes(name):
    """TLS and the choice of a host are for asyncpg to understand."""
    value = "require" if name == "sslmode" else "x"

    assert read_address(f"postgresql://db/amos?{name}={value}").url.endswith(f"?{name}={value}")
