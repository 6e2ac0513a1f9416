"""What Schemathesis is told about the formats of our document, so that it can make texts that have them."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData

from orchestrator.countries import COUNTRIES
from tests.support import fuzz_statuses

if TYPE_CHECKING:
    from schemathesis import Case, HookContext, Response
    from schemathesis.core.failures import Failure

_WORD = st.text(string.ascii_lowercase + string.digits, min_size=2, max_size=12)
_DOMAIN = st.tuples(_WORD, st.sampled_from(("example", "example.com", "example.org"))).map(".".join)

schemathesis.openapi.format(
    "query",
    st.lists(st.text("abc \u00e4\u6c34\U0001f30a\u202e\t", min_size=2, max_size=30), min_size=1, max_size=4)
    .map(" ".join)
    .map(lambda text: f"tide {text}"),
)
schemathesis.openapi.format("domain", _DOMAIN)
schemathesis.openapi.format("country", st.sampled_from(("", "DE", *sorted(COUNTRIES))))
schemathesis.openapi.format(
    "public-url",
    st.tuples(st.sampled_from(("http", "https")), _DOMAIN, _WORD).map(lambda p: "{}://{}/{}".format(*p)),
)
schemathesis.openapi.format(
    "moment", st.sampled_from(("now", "90m", "24h", "7d", "2026-11-22T10:00:00Z", "1795000000"))
)
schemathesis.openapi.format(
    "printable", st.text(string.printable[:95] + "\u00e4\u6c34", min_size=1, max_size=60)
)
schemathesis.openapi.format("us-date", st.sampled_from(("1/2/2026", "12/31/2025", "03/04/2026")))
schemathesis.openapi.format("age", st.sampled_from(("90m", "24h", "7d", "2w")))
schemathesis.openapi.format("time-zone", st.sampled_from(("UTC", "Europe/Berlin", "Asia/Kathmandu")))

fuzz_statuses.write_at_end()

LISTS = frozenset({"include_domains", "exclude_domains"})
"""Parameters that are meant to be given several times."""

RULES = re.compile(
    "|".join(
        (
            # What no schema of single fields can say, in the sentences of the refusals.
            "time_range: When time_range is set, start_date or end_date cannot be set",
            "start_date: start_date cannot be after end_date",
            "since: must be before until",
            "before: there is no such place in the record",
            "by: the window has more than [0-9]+ groups",
            # Tier l2 is there only with Redis, which the document cannot know.
            "tier: expected one of l1",
            # The state of the key decides, and the fuzzer revokes and rotates what it has made.
            "This key has ended",
            "This key was rotated already",
            # Which kinds there are, and which options they have, is the installation's business.
            "There is no kind of provider of this name",
            "name: a provider of the kind [a-z]+ cannot be called otherwise",
            '"detail":"options',
            # One of two fields must say something.
            "Nothing was said to change",
            # A key in the body is no field by itself.
            "request_id: The request_id is missing",
            # Bounds of all unknown fields together.
            "Too many unknown fields",
            "The unknown fields are (too large|nested deeper)",
        )
    )
)


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case, response: Response) -> bool:
    """Whether it is a failure: a request that fits the schema may be refused for one of the `RULES` alone.

    Of a parameter that is given several times the last counts, whatever the others are.
    """
    if response.status_code == fuzz_statuses.NO_FAULT and fuzz_statuses.is_no_fault(response.text):
        return False
    if isinstance(failure, AcceptedNegativeData):
        names = [name for name, _ in parse_qsl(urlsplit(response.request.url).query, keep_blank_values=True)]
        return all(names.count(name) == 1 or name in LISTS for name in names)
    is_refusal = isinstance(failure, RejectedPositiveData) and response.status_code == 400
    return not (is_refusal and (case.method == "HEAD" or RULES.search(response.text)))


@schemathesis.hook
def after_call(context: HookContext, case: Case, response: Response) -> None:
    """Count the answer."""
    if not fuzz_statuses.is_no_fault(response.text):
        fuzz_statuses.count(response.status_code)
