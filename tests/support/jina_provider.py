"""The provider `jina` at a simulated Jina, and the error it must make of each of Jina's."""

from __future__ import annotations

from typing import Any

from orchestrator.clock import SystemClock
from orchestrator.errors import (
    ProviderError,
    ProviderQuotaExceeded,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
)
from orchestrator.providers.jina import Jina
from orchestrator.providers.upstream import Upstream
from tests.support.jina_simulator import JinaSimulator
from tests.support.keys import one_key

PROVIDER_ERRORS: dict[int, tuple[type[ProviderError], str]] = {
    40001: (ProviderRejected, "bad_request"),
    40102: (ProviderRejected, "key_refused"),
    40103: (ProviderRejected, "key_refused"),
    40201: (ProviderQuotaExceeded, "quota"),
    40202: (ProviderQuotaExceeded, "quota"),
    40203: (ProviderQuotaExceeded, "quota"),
    40301: (ProviderRejected, "forbidden"),
    40304: (ProviderRejected, "key_refused"),
    40902: (ProviderRejected, "conflict"),
    40904: (ProviderRejected, "conflict"),
    41302: (ProviderRejected, "too_large"),
    42203: (ProviderRejected, "bad_request"),
    42205: (ProviderUnavailable, "downstream"),
    42901: (ProviderThrottled, "throttled"),
    42902: (ProviderThrottled, "throttled"),
    42903: (ProviderThrottled, "throttled"),
    45102: (ProviderRejected, "forbidden"),
    50000: (ProviderUnavailable, "http_500"),
    50301: (ProviderUnavailable, "http_503"),
    50302: (ProviderUnavailable, "http_503"),
    50303: (ProviderUnavailable, "http_503"),
    50304: (ProviderUnavailable, "http_503"),
    50305: (ProviderUnavailable, "http_503"),
}
"""Five-digit status to class and reason; all of Jina's but "nothing found", which is no error."""


def provider_of(simulator: JinaSimulator, api_key: str | None = None, **options: Any) -> Jina:
    """The provider, pointed at the simulator, with a good key unless another is given."""
    return Jina(
        Upstream("jina", SystemClock()),
        SystemClock(),
        one_key(api_key or simulator.api_key),
        search_url=simulator.search_url,
        reader_url=simulator.reader_url,
        **options,
    )
