"""Tells an operator what a provider's configuration needs: in the log, once, in a whole sentence.

The record keeps short reasons, and callers are no operators; without this the sentence would reach nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Set as AbstractSet

from orchestrator.errors import ProviderError

_log = logging.getLogger("amos.providers")


class OperatorLog:
    """The notes of one provider about failures of these `reasons`, which only its operator can mend."""

    def __init__(self, reasons: AbstractSet[str]) -> None:
        self._reasons = reasons
        self._told = ""

    def tell(self, fault: ProviderError) -> None:
        """Write the fault down, unless it is the one that was written last."""
        if fault.reason in self._reasons and fault.message != self._told:
            self._told = fault.message
            _log.warning("%s", fault.message)
