"""What a provider gives: to a plain question, to one without an answer, to odd ones, and for pages."""

from __future__ import annotations

import itertools
import math
import secrets
from typing import Any

import msgspec

from orchestrator.errors import ProviderError, ProviderProtocolError, ProviderRejected
from orchestrator.events import FREE, Cost
from orchestrator.filters.validate_result import is_link
from orchestrator.model import ExtractAnswer, ExtractRequest, Found, SearchAnswer, SearchRequest
from orchestrator.outcome import BAD_REQUEST
from orchestrator.providers.answer_check import checked
from orchestrator.providers.conformance.subject import (
    Check,
    End,
    Failed,
    Skipped,
    Subject,
    described,
    is_ours,
)
from orchestrator.providers.soundness import cost_fault

ODD_QUERIES = {
    "long": "harbour " * 49 + "harbour",
    "of other scripts": "שלום 港 ميناء гавань",
    "with emoji": "tide 🌊 tables 👩‍🚀",
    "with operators": '"tide" AND (NOT tables) OR site:* -"\' ) (',
    "that looks like code": "'; DROP TABLE pages; -- <script>alert(1)</script> ${7*7} %00 \\",
    "of punctuation": "?! ... //",
}

ASKED_FOR_EVERYTHING: dict[str, Any] = {
    "search_depth": "advanced",
    "topic": "news",
    "max_results": 3,
    "chunks_per_source": 2,
    "time_range": "month",
    "include_answer": True,
    "include_raw_content": True,
    "include_images": True,
    "include_image_descriptions": True,
    "include_favicon": True,
    "exclude_domains": ("example.org",),
    "safe_search": True,
}


async def _errors(subject: Subject) -> None:
    end = await subject.plain()
    if end.was_cancelled:
        raise Failed(f"A plain question was not answered within {subject.patience_s:.0f} s.")
    if not is_ours(end.error):
        raise Failed(f"A plain question raised {described(end.error or RuntimeError())}.")


async def _answer(subject: Subject) -> None:
    end = await subject.plain()
    if isinstance(end.error, ProviderError):
        raise Failed(
            f"A plain question was refused: {described(end.error)}.",
            "See that its upstream is there and takes the key; --query gives a question it can answer.",
        )
    found = await subject.plain_answer()
    try:
        checked(_without_what_is_checked_apart(found), SearchAnswer, subject.provider.name)
    except ProviderProtocolError as error:
        raise Failed(error.message) from error


def _without_what_is_checked_apart(found: Any) -> Any:
    """The answer with a cost and scores that are right."""
    if not isinstance(found, Found) or not isinstance(found.answer, SearchAnswer):
        return found
    results: Any = found.answer.results
    if isinstance(results, tuple):
        results = tuple(
            msgspec.structs.replace(one, score=0.5) if isinstance(one, msgspec.Struct) else one
            for one in results
        )
    answer = msgspec.structs.replace(found.answer, results=results)
    return msgspec.structs.replace(found, answer=answer, cost=FREE)


async def _results(subject: Subject) -> tuple[Any, ...]:
    """The results of the plain question. Raises Skipped if there are none to look at."""
    found = await subject.plain_answer()
    results = getattr(getattr(found, "answer", None), "results", None)
    if not isinstance(results, tuple) or not results:
        raise Skipped("The plain question has no results; give one that has with --query.")
    return results


async def _scores(subject: Subject) -> None:
    scores = [one.score for one in await _results(subject)]
    if not all(type(one) in (int, float) and math.isfinite(one) and 0 <= one <= 1 for one in scores):
        raise Failed("A score is not a number from 0 to 1.")
    if any(later > before for before, later in itertools.pairwise(scores)):
        raise Failed("A result has a higher score than the one before it.")


async def _urls(subject: Subject) -> None:
    schemes = subject.provider.schemes
    for number, one in enumerate(await _results(subject), start=1):
        if not is_link(one.url, schemes):
            raise Failed(f"The URL of result {number} is none with the schemes {', '.join(sorted(schemes))}.")


async def _cost(subject: Subject) -> None:
    found = await subject.plain_answer()
    cost: Any = getattr(found, "cost", None)
    if fault := cost_fault(cost):
        raise Failed(f"Of the answer {fault}.")
    _compare(cost, subject.provider.search_estimate(SearchRequest(query=subject.query)))


def _compare(cost: Cost, estimate: Cost) -> None:
    if FREE not in (cost, estimate) and cost.unit != estimate.unit:
        raise Failed(f"It bills {cost.unit} and estimates {estimate.unit}.")
    if cost.amount > estimate.amount or cost.usd_micros > estimate.usd_micros:
        raise Failed("It cost more than was estimated.")


async def _nothing(subject: Subject) -> None:
    await subject.plain_answer()
    word = f"zq{secrets.token_hex(12)}xj"
    end = await subject.search(subject.provider, SearchRequest(query=word, exact_match=True))
    _require_answer(end, "A question that nothing answers")
    checked_found(subject, end.value)


def checked_found(subject: Subject, found: Any) -> None:
    """Raise Failed if this is no answer; costs and scores aside."""
    try:
        checked(_without_what_is_checked_apart(found), SearchAnswer, subject.provider.name)
    except ProviderProtocolError as error:
        raise Failed(error.message) from error


async def _options(subject: Subject) -> None:
    await subject.plain_answer()
    extra = {"amos_conformance": {"deep": [1, "two", None]}}
    request = SearchRequest(query=subject.query, **ASKED_FOR_EVERYTHING, extra=extra)
    before = msgspec.json.encode(request)
    end = await subject.search(subject.provider, request)
    if isinstance(end.error, ProviderRejected) and end.error.reason == BAD_REQUEST:
        raise Failed("It refuses the whole request for an option, and nobody else is asked then.")
    _require_answer(end, "A question with every option, and one that nobody knows,")
    if msgspec.json.encode(request) != before:
        raise Failed("It changed the request, which others will be asked too.")


async def _queries(subject: Subject) -> None:
    await subject.plain_answer()
    for what, query in ODD_QUERIES.items():
        end = await subject.search(subject.provider, SearchRequest(query=query, max_results=1))
        if not end.is_over or not is_ours(end.error):
            raise Failed(f"A query {what}: {_what_happened(end)}.")
        if isinstance(end.error, ProviderProtocolError):
            raise Failed(f"A query {what} was answered by {described(end.error)}.")
        if end.error is None:
            checked_found(subject, end.value)


async def _extract(subject: Subject) -> None:
    provider = subject.provider
    urls = ("https://example.com/", "https://amos-conformance.invalid/")
    end = await subject.extract(provider, ExtractRequest(urls=urls))
    if "extract" not in provider.operations:
        if not isinstance(end.error, ProviderError):
            raise Failed(f"It does not offer extract, and was asked all the same: {_what_happened(end)}.")
        return
    if isinstance(end.error, ProviderError):
        raise Skipped(f"The pages could not be read: {described(end.error)}.")
    _require_answer(end, "An extract")
    try:
        answer = checked(msgspec.structs.replace(end.value, cost=FREE), ExtractAnswer, provider.name).answer
    except (ProviderProtocolError, TypeError) as error:
        raise Failed(f"An extract is no answer: {error}") from error
    told = {page.url for page in answer.pages} | {failure.url for failure in answer.failures}
    if told != set(urls):
        raise Failed("Pages and failures together are not the URLs that were asked for.")
    _compare(end.value.cost, provider.extract_estimate(ExtractRequest(urls=urls)))


async def _outage(subject: Subject) -> None:
    if subject.unreachable is None:
        raise Skipped("Say how to make one whose upstream is not there: --unreachable url=http://127.0.0.1:9")
    provider = subject.unreachable()
    end = await subject.search(provider, SearchRequest(query=subject.query))
    await subject.end_of(provider.aclose)
    if not isinstance(end.error, ProviderError):
        raise Failed(f"Its upstream was not there: {_what_happened(end)}.")


def _require_answer(end: End, what: str) -> None:
    if isinstance(end.error, ProviderError):
        raise Failed(f"{what} was not answered but refused: {described(end.error)}.")
    if not end.is_over or end.error is not None:
        raise Failed(f"{what} was not answered: {_what_happened(end)}.")


def _what_happened(end: End) -> str:
    if not end.is_over:
        return "it did not end"
    if end.error is not None:
        return f"it raised {described(end.error)}"
    return "it answered"


CHECKS = (
    Check(
        name="errors",
        rule="A plain question ends in an answer or in a ProviderError.",
        advice="Catch what your client raises, and raise the ProviderError that fits. Upstream does.",
        look=_errors,
        asks=1,  # the one that the next checks look at
    ),
    Check(
        name="answer",
        rule="A plain question is answered, by a Found with texts where texts belong.",
        advice="Build results with orchestrator.plugin.result, answers with SearchProvider.found.",
        look=_answer,
    ),
    Check(
        name="scores",
        rule="Scores are 0 to 1 and fall.",
        advice="Sort by score and divide by the highest, or let SearchProvider.found score by rank.",
        look=_scores,
    ),
    Check(
        name="urls",
        rule="URLs are whole, and have the schemes it names.",
        advice="Make URLs absolute; name other schemes in `schemes`.",
        look=_urls,
    ),
    Check(
        name="cost",
        rule="A call costs no more than was estimated, in the same unit.",
        advice="Estimate the most that the request can cost.",
        look=_cost,
    ),
    Check(
        name="nothing",
        rule="Nothing found is an empty answer, not an error.",
        advice="Return an answer without results; also if your upstream says 404 for that.",
        look=_nothing,
        asks=1,
    ),
    Check(
        name="options",
        rule="An option it does not know is passed over, and the request stays as it was.",
        advice="Send on what you know, name the rest in `unsupported`, and copy what you change.",
        look=_options,
        asks=1,
    ),
    Check(
        name="queries",
        rule="Any query ends in an answer or a refusal.",
        advice="Encode queries as your upstream wants them: urlencode, JSON, quoted operators.",
        look=_queries,
        asks=len(ODD_QUERIES),
    ),
    Check(
        name="extract",
        rule="An extract tells of every URL; one that is not offered is refused.",
        advice="Put what could not be read into `failures`; raise ProviderRejected if you offer none.",
        look=_extract,
        asks=1,
    ),
    Check(
        name="outage",
        rule="An upstream that is not there is a ProviderError.",
        advice="Map what your client raises for a refused connection to ProviderUnavailable.",
        look=_outage,
        asks=1,
    ),
)
