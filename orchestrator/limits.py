"""Every bound of the system, with its unit and its source.

"Tavily" means Tavily's API description as read on 2026-08-12; "chosen" means ours, with the reason beside it.
"""

from __future__ import annotations

# --- what a caller may send

QUERY_CHARS_MIN = 2
"""Tavily: a shorter query is answered 400 "Query is too short"."""

QUERY_CHARS_MAX = 400
"""Tavily: a longer query is answered 400 "Query is too long"."""

RESULTS_MAX = 20
"""Tavily: `max_results` is 0 to 20. A larger number is clamped and said so, because clients send 25."""

RESULTS_DEFAULT = 5
"""Tavily: the value of `max_results` when it is not given."""

DAYS_MAX = 36_500
"""chosen: `days` has no documented end; the web is younger than a hundred years."""

INCLUDE_DOMAINS_MAX = 300
"""Tavily: more answer 400."""

EXCLUDE_DOMAINS_MAX = 150
"""Tavily: more answer 400."""

URLS_MAX = 20
"""Tavily: "Max 20 URLs are allowed." for one extract call."""

URL_CHARS_MAX = 2_048
"""chosen: the longest URL that browsers, proxies and both providers were seen to agree on."""

EXTRA_FIELDS_MAX = 32
"""chosen: unknown request fields pass through to the provider and are part of the cache key; a client that
sends more than this many is not sending options."""

EXTRA_BYTES_MAX = 8_192
"""chosen: the encoded size of all unknown request fields together, for the same reason."""

EXTRA_DEPTH_MAX = 16
"""chosen: unknown fields nested deeper are no options, and would exhaust the stack of whatever encodes
them."""

BODY_BYTES_MAX = 1_048_576
"""chosen: 300 domains, 20 URLs and a query fit in 64 KB; 1 MB leaves room for clients that pad."""

BODY_BYTES_DISCARDED_MAX = 33_554_432
"""chosen: so much of a body that is too large is read and thrown away, because a client that cannot finish
sending sees a broken connection instead of the 413 that says why; beyond that it does."""

BODY_S_MAX = 10.0
"""chosen: a body that takes longer to arrive is a slow attack or a dead link, and holds a connection."""

RELAY_PAGES_MAX = 10_000
"""chosen: `limit` of a map or crawl, which Tavily documents without an end; a crawl of so many pages costs 24
dollars and cannot end in the time there is."""

RESEARCH_DOMAINS_MAX = 20
"""Tavily: domains that a research may name."""

# --- what a provider may send

UPSTREAM_BODY_BYTES_MAX = 10_485_760
"""Jina's contract: `content` may be hundreds of kilobytes a page; beyond 10 MB an answer is refused."""

TITLE_CHARS_MAX = 1_000
"""chosen: browsers show the first hundred; a title longer than this is a text in the wrong place."""

CONTENT_CHARS_MAX = 20_000
"""chosen: a snippet is at most 3 x 800 characters at Tavily; ten times that is no snippet any more."""

RAW_CONTENT_CHARS_MAX = 1_000_000
"""chosen: the text of a long book; larger pages are cut there."""

BILLED_CREDITS_MAX = 1_000.0
"""chosen: Tavily's dearest call, an advanced extract of 20 pages, is 8 credits. A bill beyond this is a fault
of whoever sent it and would spoil every sum it is added to."""

RELAY_CREDITS_MAX = 20_000.0
"""chosen: a map or crawl of `RELAY_PAGES_MAX` pages is 6,000 credits at most, for the same reason."""

BILLED_TOKENS_MAX = 100_000_000.0
"""chosen: Jina's source ends one page at 2,000,000 tokens, and a call asks for 20 pages at most; for the same
reason."""

NAME_CHARS_MAX = 100
"""chosen: of a name that a figure stands under. Ours and those of clients have 64 at most. Six of them must
fit the 2,704 bytes of an index row of PostgreSQL (nbtree.h) at four bytes a character."""

FRAME_NAME_CHARS_MAX = 256
"""chosen: of the names that frames and texts are found by, each in an index of its own; ours have 64."""

COUNT_MAX = 1_000_000_000_000
"""chosen: the most that one event may add to a figure of a report: a million dollars, eleven days. Nothing
real comes near, and nine million such events fit the 64-bit integers of SQL."""

RETRY_AFTER_S_MAX = 300.0
"""chosen: longest time a provider's own `Retry-After` keeps its circuit open before we look again."""

# --- what an operator may register

PROVIDERS_MAX = 50
"""chosen: providers registered at run time. A chain that is gone through within 9 s asks a handful; each has
connections, a circuit and a row in every report."""

PROVIDER_OPTIONS_BYTES_MAX = 8_192
"""chosen: the options of one provider as JSON: addresses, names and a mapping of fields, no documents."""

# --- time

DEADLINE_S = 9.0
"""Common MCP clients stop reading at 10 s; one second is left for the way back."""

EXTRACT_TIMEOUT_S_MIN = 1.0
"""Tavily: `timeout` of an extract is 1.0 to 60.0 seconds. In less hardly any page can be read."""

EXTRACT_DEADLINE_S_MAX = 30.0
"""Tavily's client libraries wait 30 s for extract by default."""

RELAY_PAGES_S_MAX = 150.0
"""Tavily: `timeout` of a map or crawl ends there, and its client libraries wait as long by default."""

RESEARCH_S_MAX = 30.0
"""chosen: to begin a research, or to look how far one is, takes Tavily a second or two."""

STREAM_S_MAX = 300.0
"""chosen: a research that is streamed is made while its caller looks on, for minutes. Beyond five it is
better to ask for it now and then."""

STREAM_LINE_BYTES_MAX = 1_048_576
"""chosen: one event of a stream holds a few words, the last one perhaps the whole report."""

FEEDBACK_S_MAX = 10.0
"""Tavily's client library waits 10 s for it."""

ATTEMPT_S_MIN = 0.05
"""chosen: with less time than this left no attempt is begun; even a local index needs some of it."""

WAY_BACK_S = 0.1
"""chosen: attempts end this long before the deadline of their call, so that the failure of the last one is
still an answer with every reason, and not a call cut off in the middle."""

PATIENCE_S_MIN = 1.0
"""chosen: with less time than this beyond its leader's, a follower takes the failure of its leader for its
own. Another call to a provider would hardly end otherwise, and somebody pays for it."""

REDIS_TIMEOUT_S = 0.05
"""chosen: a hundred times what Redis needs in the same building, and little beside the second of a miss."""

# --- memory and disk

L1_BYTES_MAX = 67_108_864
"""chosen: 64 MB hold about 13,000 answers of 5 KB and leave a worker under 200 MB."""

L2_ENTRY_BYTES_MAX = 1_048_576
"""chosen: on a gigabit link a megabyte takes 8 ms of the 50 that Redis has, and everybody else's answers wait
behind it. Only the text of a book is larger."""

L2_TTL_S_MAX = 2_592_000.0
"""chosen: Redis forgets an answer after 30 days, however long it is said to be of use."""

REFRESHES_MAX = 256
"""chosen: refreshes under way at once in one process. Each holds its request and waits a second or two; with
more the providers are the bottleneck, and the callers of this process have been answered already."""

REFRESHES_PAUSED_MAX = 10_000
"""chosen: answers whose refresh failed lately, 1 MB of keys; beyond it the oldest may be tried again."""

JOURNAL_BYTES_MAX = 1_073_741_824
"""chosen: 1 GB holds about a million frames, some minutes of a busy day with SQL down."""

JOURNAL_SEGMENT_BYTES = 4_194_304
"""chosen: a segment is deleted when all of it is in SQL; 4 MB keeps what is read again after a crash
small."""

JOURNAL_SEGMENT_S = 60.0
"""chosen: a segment takes no more frames after this time, so that a quiet writer's drained one can go and
query texts do not stay on disk outside their erasable table."""

FRAME_BYTES_MAX = 1_048_576
"""chosen: no execution records a megabyte; a larger length in a segment is damage, not data."""

FLIGHTS_MAX = 10_000
"""chosen: searches under way at once in one process; a caller beyond that goes alone, unjoined."""

RATE_SLOTS_MAX = 32
"""chosen: the moments a limiter keeps of one window. A quota up to this is counted call by call; of a larger
one each moment stands for `quota / 32` calls, which are given back together when the last of them is old
enough: 3 % of the quota at most may come back late. A client takes 1 KB."""

RATE_CLIENTS_MAX = 50_000
"""chosen: clients whose windows a process remembers, 60 MB at most (1.2 KB a busy client, 0.8 KB one that
called once; measured with tracemalloc); beyond it those that have been silent longest start anew."""

API_KEYS_MAX = 10_000
"""chosen: every worker holds all keys in memory, about a kilobyte each; an organisation with more callers
than this gives keys to services, not to people."""

API_KEY_REMEMBERED_S = 7_776_000.0
"""chosen: a key that ended 90 days ago may be forgotten when a new one is made; until then its holder is told
what became of it, and the list shows it. The facts about it stay in the event log."""

REPORTS_LAG_S_MAX = 30.0
"""chosen: figures that are further behind than this are no picture of the present: `/metrics` gives none, and
`/health` says so. A projector at work is less than two seconds behind."""
