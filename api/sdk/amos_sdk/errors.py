"""Every failure the client can name, as one tree; catch `AmosError` to catch them all.

    AmosError(message)
    ├ Unreachable        nothing answered, or the connection broke
    ├ TimedOut           no answer within `timeout_s`
    ├ UnexpectedAnswer   something answered, but not as AMOS does
    └ Refused(status, code)
      ├ InvalidRequest     400, 413, 422   the request breaks a documented rule
      ├ Unauthenticated    401             no key, or not a valid one
      ├ PermissionDenied   403             the key lacks a scope
      ├ NotFound           404             no such execution or report
      ├ Conflict           409             what is there forbids it: a name in use, no cache to warm
      ├ RateLimited        429             one of the key's windows is used up
      ├ BudgetExhausted    432, 433        the caller's budget, or all providers' quotas, are used up
      ├ Unavailable        503             every provider failed, or the server takes no calls now
      └ DeadlineExceeded   504             no answer within the server's deadline

A message is the server's own sentence where it gave one, and never holds a key.
"""

from __future__ import annotations


class AmosError(Exception):
    """The root of the tree. `message` is a sentence for people."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unreachable(AmosError):
    """Nothing answered at the address, or the connection broke; the call may or may not have been made."""


class TimedOut(AmosError):
    """No answer came within the client's `timeout_s`; the call may go on at the server."""


class UnexpectedAnswer(AmosError):
    """What answered is no AMOS: a page, a redirection, or JSON of another shape."""


class Refused(AmosError):
    """The server answered with an error.

    `status` is the HTTP status, `code` AMOS's own name of the failure (`""` if it told none),
    `retry_after_s` how long it asks to wait in seconds (`None` if it does not say), `execution_id` names the
    call at `/executions/{id}` (`""` if it was none).
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "",
        retry_after_s: float | None = None,
        execution_id: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s
        self.execution_id = execution_id


class InvalidRequest(Refused):
    """The request breaks a documented rule; the message says which."""


class Unauthenticated(Refused):
    """No key was shown, or none that is valid."""


class PermissionDenied(Refused):
    """The key is valid and lacks the scope that the call needs."""


class NotFound(Refused):
    """There is no such execution (yet) or no such report."""


class Conflict(Refused):
    """What is there already forbids it: a name is in use, a warming is under way."""


class RateLimited(Refused):
    """One of the key's windows is used up; `retry_after_s` says when the next call fits."""


class BudgetExhausted(Refused):
    """The caller's budget, or every provider's quota, is used up."""


class Unavailable(Refused):
    """Every provider failed, or the server takes no calls at the moment."""


class DeadlineExceeded(Refused):
    """The server's deadline passed, or only a cached answer was asked for and there is none."""


_CLASSES: dict[int, type[Refused]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    413: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
    432: BudgetExhausted,
    433: BudgetExhausted,
    503: Unavailable,
    504: DeadlineExceeded,
}


def class_of(status: int) -> type[Refused]:
    """The class of an HTTP error status; a status without one of its own is a plain `Refused`."""
    return _CLASSES.get(status, Refused)
