"""Who a caller turned out to be, and how much of them is let through."""

from __future__ import annotations

import msgspec


class OwnLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one API key in place of the policy's; `None` leaves that one to the policy."""

    burst: int | None = None
    per_minute: int | None = None
    per_hour: int | None = None


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking. `is_unlimited` callers (the local operator) pass the rate limiter.

    `key_id` is that of the API key shown, `""` if it took none; `limits` are that key's own, `None` for
    everybody's. `address` is all that is known of a caller without a key, `""` for others; it is never
    recorded.
    """

    client: str
    scopes: frozenset[str] = frozenset()
    is_unlimited: bool = False
    key_id: str = ""
    limits: OwnLimits | None = None
    address: str = ""

    @property
    def counted_as(self) -> str:
        """For whom calls are counted and bounded: the client, whatever its keys are.

        A key with limits of its own is counted apart, and without a key the address is all there is to know.
        """
        if self.address:
            return f"{self.client}\0{self.address}"
        return self.client if self.limits is None else f"{self.client}\0{self.key_id}"
