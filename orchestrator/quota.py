"""How much a client may ask, and what the limiter says to a call: the values of the port RateLimitStore."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Window(msgspec.Struct, frozen=True):
    """One limit: at most `quota` calls in any `period_s`."""

    name: str
    quota: int
    period_s: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The limiter's answer: for each window what remains, and the seconds until more fits.

    `tightest` is the index of the window that has least left, or keeps the caller out longest.
    `retry_after_s` is 0 when the call is allowed.
    """

    allowed: bool
    windows: tuple[Window, ...]
    remaining: tuple[int, ...]
    reset_s: tuple[float, ...]
    tightest: int
    retry_after_s: float = 0.0

    @property
    def window(self) -> Window:
        """The tightest window."""
        return self.windows[self.tightest]

    @property
    def used_up(self) -> tuple[str, ...]:
        """The names of the windows of which nothing is left."""
        return tuple(
            window.name for window, left in zip(self.windows, self.remaining, strict=True) if not left
        )


def verdict_on(
    windows: tuple[Window, ...], remaining: Sequence[int], reset_s: Sequence[float], *, allowed: bool
) -> Verdict:
    """The verdict on one call, from what the windows look like after it."""
    if allowed:
        tightest = remaining.index(min(remaining))
        return Verdict(
            allowed=True,
            windows=windows,
            remaining=tuple(remaining),
            reset_s=tuple(reset_s),
            tightest=tightest,
        )
    waits = [0.0 if left else wait for left, wait in zip(remaining, reset_s, strict=True)]
    retry_after_s = max(waits)
    return Verdict(
        allowed=False,
        windows=windows,
        remaining=tuple(remaining),
        reset_s=tuple(reset_s),
        tightest=waits.index(retry_after_s),
        retry_after_s=retry_after_s,
    )
