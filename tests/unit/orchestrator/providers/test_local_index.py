"""What is found in the index: ranking, languages, and the safety of queries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from orchestrator.providers.local_documents import Passage
from orchestrator.providers.local_index import Entry, Hit, LocalIndex
from orchestrator.providers.local_query import parse


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the index is."""
    return tmp_path / "local.sqlite"


@pytest.fixture
def index(path: Path) -> Iterator[LocalIndex]:
    """An open index."""
    index = LocalIndex.open(path)
    yield index
    index.close()


def put(index: LocalIndex, name: str, *bodies: str, heading: str = "", title: str = "") -> None:
    """Put a document in, with one passage a body."""
    passages = tuple(
        Passage(title or name, body, heading, f"s{number}") for number, body in enumerate(bodies)
    )
    index.replace([Entry(f"/{name}", 1, 1, passages)])


def search(index: LocalIndex, text: str, limit: int = 10, *, with_documents: bool = False) -> list[Hit]:
    """Search as the provider does."""
    query = parse(text)
    return index.search(query, limit, with_documents=with_documents) if query else []


def test_all_words_come_before_any_word(index: LocalIndex) -> None:
    """Passages with all the words score above one half and come first; the others follow below it."""
    put(index, "both", "a circuit here and a breaker there, with much else around them to say")
    put(index, "one", "breaker breaker breaker")
    put(index, "none", "nothing of that")

    hits = search(index, "circuit breaker")

    assert [hit.path for hit in hits] == ["/both", "/one"]
    assert hits[0].score == 1.0
    assert hits[1].score == 0.5


def test_scores_fall(index: LocalIndex) -> None:
    """Scores lie in 0..1 and never rise from hit to hit."""
    for number in range(20):
        put(index, f"d{number}", "alpha " * (number + 1) + "filler " * 10, "alpha beta")

    scores = [hit.score for hit in search(index, "alpha beta gamma", 20)]

    assert len(scores) == 20
    assert scores == sorted(scores, reverse=True)
    assert 0 < min(scores) <= max(scores) <= 1


def test_a_heading_weighs_more(index: LocalIndex) -> None:
    """The passage about a subject comes before one that mentions it."""
    put(index, "mention", "we restore old chairs")
    put(index, "subject", "how to do it, step by step", title="Restore")
    for number in range(5):
        put(index, f"other{number}", "something else")

    assert [hit.path for hit in search(index, "restore")] == ["/subject", "/mention"]


def test_one_document_does_not_fill_the_answer(index: LocalIndex) -> None:
    """Two passages at most of each document, however many match, in both kinds of match together."""
    put(index, "long", *["alpha beta"] * 100, *["alpha"] * 100)
    put(index, "short", "alpha")

    paths = [hit.path for hit in search(index, "alpha beta")]

    assert sorted(paths) == ["/long", "/long", "/short"]


def test_parts_of_one_section_are_shown_once(index: LocalIndex) -> None:
    """Two passages at the same address are one result."""
    passages = (Passage("T", "alpha one", "# T", "t"), Passage("T", "alpha two", "# T", "t"))
    index.replace([Entry("/a", 1, 1, passages)])

    (hit,) = search(index, "alpha", with_documents=True)

    assert hit.document == "# T\n\nalpha one\n\nalpha two"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("Circuit breakers open", "breaker opening"),
        ("un café créole", "cafe creole"),
        ("cafe", "café"),
        ("如何配置熔断器", "熔断器"),
        ("如何配置熔断器", "熔断 保险"),
        ("東京タワーに行く", "タワー"),
        ("한국어문서", "문서"),
        ("ไทยเอกสาร", "เอกสาร"),
        ("हिन्दी किताब", "किताब"),
        ("see rate_limit.py", "rate_limit"),
    ],
)
def test_languages(index: LocalIndex, body: str, text: str) -> None:
    """Word forms, accents and scripts without spaces are found, and come back as they were written."""
    put(index, "a", body)

    (hit,) = search(index, text)

    assert hit.marked.replace("\x02", "").replace("\x03", "") == body


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=100) | st.text(st.sampled_from("ab\"'*()^:-+NEARORANDT{} \0熔é\u0301"), max_size=60))
@example('"')
@example('NEAR("a" "b", 1)')
@example("title: x OR body: *")
@example("𞤀 𖹀 \U0001fae0")
@example("\ud800")
def test_no_query_is_an_error(index: LocalIndex, text: str) -> None:
    """Whatever is typed, the index answers."""
    put(index, "a", "alpha NEAR beta 熔断")

    for is_exact in (True, False):
        query = parse(text, is_exact=is_exact)
        if query is not None:
            index.search(query, 5, with_documents=True)


def test_a_removed_document_is_gone(index: LocalIndex) -> None:
    """Neither it nor its passages stay."""
    put(index, "a", "alpha", "alpha")

    index.remove([known.id for known in index.known().values()])

    assert search(index, "alpha") == []
    assert index.known() == {}


def test_a_failed_transaction_leaves_no_trace(index: LocalIndex) -> None:
    """A batch goes in whole or not at all, and the connection can be used again."""
    good = Entry("/good", 1, 1, (Passage("T", "alpha", "", ""),))
    bad = Entry("/bad", 1, 1, (Passage("T", "\ud800", "", ""),))

    with pytest.raises(UnicodeEncodeError):
        index.replace([good, bad])

    assert search(index, "alpha") == []
    put(index, "later", "alpha")
    assert len(search(index, "alpha")) == 1
