"""What an attempt came to, and what that means for its callback, its endpoint and its webhook. Pure."""

from dataclasses import dataclass

from webhooks.http1 import Response

# Words of Attempt.outcome for an answer; webhooks.errors has those for want of one.
DELIVERED = "delivered"
GONE = "gone"
REDIRECT = "redirect"
STATUS = "status"
UNEXPECTED_BODY = "unexpected_body"
# The body could not be rendered: no request was made.
TEMPLATE = "template"
OCTOPUSH = "octopush"
# The endpoint, not the callback, is at fault: send it less at once.
SLOW = frozenset({"timeout", "connect"})


@dataclass(slots=True)
class Outcome:
    """One attempt's end. ``error`` is a sentence for the tenant, None when delivered."""

    word: str
    status: int | None = None
    body: bytes = b""
    retry_after: str | None = None
    error: str | None = None

    @property
    def delivered(self) -> bool:
        return self.word == DELIVERED


def of(response: Response, *, format: str) -> Outcome:  # noqa: A002 - the webhook's word
    """2xx is success, 410 ends the subscription, a redirect is not followed; only 429 and 503 may ask for time.

    In format ``octopush`` an answer must be empty (dev.octopush.com, "Callbacks": "must not display anything").
    """
    status = response.status
    if 200 <= status < 300:
        if format == OCTOPUSH and response.length:
            error = "the endpoint answered with a body, which this format does not allow"
            return Outcome(UNEXPECTED_BODY, status, response.body, error=error)
        return Outcome(DELIVERED, status, response.body)
    if status == 410:
        return Outcome(GONE, status, response.body, error="the endpoint says that it is gone")
    if 300 <= status < 400:
        return Outcome(REDIRECT, status, response.body, error="redirects are not followed")
    wait = response.retry_after if status in {429, 503} else None
    return Outcome(STATUS, status, response.body, wait, error=f"the endpoint answered {status}")


def text(body: bytes) -> str | None:
    """An answer as PostgreSQL can store it: undecodable bytes replaced, NUL taken out; None for nothing."""
    if not body:
        return None
    return body.decode("utf-8", "replace").replace("\x00", "")
