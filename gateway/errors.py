"""What the platform answers instead of doing what it was asked, one closed tree for every app.

    Problem                        code, HTTP status, whether to try again, a sentence, and what to do about it
    ├── Invalid                    400  the request itself; also MalformedBody, InvalidRecipient, InvalidSender,
    │                                   TextTooLong, BatchTooLarge, AllInvalid
    ├── Unauthenticated            401
    ├── Forbidden                  403  PermissionDenied, AddressNotAllowed, FeatureDisabled
    ├── NotFound                   404  also UnknownPath
    ├── MethodNotAllowed           405
    ├── Conflict                   409  IdempotencyConflict, AlreadySent, AlreadyExists and its kinds, BuiltInKeyword
    ├── PayloadTooLarge            413
    ├── UnsupportedMediaType       415
    ├── Unprocessable              422  NoRoute, RecipientOptedOut, TemplateNotFound, TemplateNotApproved,
    │                                   TemplateVariableMissing, TemplateChannelMismatch, FeatureNotAvailable
    ├── TooMany                    429  RateLimited, QueueFull
    ├── Internal                   500
    └── Unavailable                503

Other apps add leaves by subclassing; :func:`catalogue` lists whatever is loaded.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple


class Detail(NamedTuple):
    """One thing wrong: the member's path (``content.text``, ``messages[3].to``), a code, a sentence."""

    field: str
    code: str
    message: str


class Problem(Exception):
    """``message`` is for the tenant; ``headers`` go with the HTTP answer; ``body`` adds members to it."""

    code: ClassVar[str] = ""
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    message: str = ""
    action: ClassVar[str] = ""

    def __init__(
        self,
        message: str = "",
        *,
        details: Sequence[Detail] = (),
        retry_after: int | None = None,
        headers: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> None:
        self.message = message or type(self).message
        self.details = tuple(details)
        self.retry_after = retry_after
        self.headers = headers or {}
        self.body = body or {}
        super().__init__(self.message)


class Invalid(Problem):
    code = "VALIDATION_FAILED"
    status = 400
    message = "The request is not valid; see details."
    action = "Correct the members that details names, then send the request again."


class MalformedBody(Invalid):
    code = "MALFORMED_BODY"
    message = "The body is not a JSON object."
    action = "Send one JSON object, UTF-8, without duplicate names, NUL or unpaired surrogates."


class InvalidRecipient(Invalid):
    code = "INVALID_RECIPIENT"
    message = "The recipient is not a phone number in international form."
    action = "Give the number in E.164: a plus, the country code, the number."


class InvalidSender(Invalid):
    code = "INVALID_SENDER"
    message = "The sender is neither an alphanumeric id nor a phone number."
    action = "Use at most 11 letters, digits and spaces, or a number of at most 15 digits."


class TextTooLong(Invalid):
    code = "TEXT_TOO_LONG"
    message = "The text is longer than 1,600 characters."
    action = "Shorten the text, or split it into several messages."


class BatchTooLarge(Invalid):
    code = "BATCH_TOO_LARGE"
    message = "A bulk call takes at most 1,000 messages."
    action = "Split the batch; nothing of it was accepted."


class AllInvalid(Invalid):
    code = "ALL_MESSAGES_INVALID"
    message = "None of the messages is valid; see results."
    action = "Correct each message as its result says; nothing of the batch was accepted."


class Unauthenticated(Problem):
    code = "UNAUTHENTICATED"
    status = 401
    message = "The credentials are missing or not valid."
    action = "Send a valid API key: Authorization: Bearer <apiKey>."


class Forbidden(Problem):
    code = "FORBIDDEN"
    status = 403
    message = "This is not allowed."
    action = "Ask the platform's operator."


class PermissionDenied(Forbidden):
    code = "PERMISSION_DENIED"
    message = "The API key lacks the permission for this call."
    action = "Use a key that has the permission named in details."


class AddressNotAllowed(Forbidden):
    code = "IP_NOT_ALLOWED"
    message = "The API key may not be used from this address."
    action = "Call from an address on the key's list, or have the list extended."


class FeatureDisabled(Forbidden):
    code = "FEATURE_DISABLED"
    message = "This feature is not enabled for the account."
    action = "Ask the platform's operator to enable it."


class NotFound(Problem):
    code = "NOT_FOUND"
    status = 404
    message = "There is no such resource."
    action = "Check the id; resources of other accounts are not found either."


class UnknownPath(NotFound):
    code = "UNKNOWN_PATH"
    message = "There is nothing at this path."
    action = "Check the path against /v1/docs."


class MethodNotAllowed(Problem):
    code = "METHOD_NOT_ALLOWED"
    status = 405
    message = "This path does not take that method."
    action = "Use a method that the Allow header names."


class Conflict(Problem):
    code = "CONFLICT"
    status = 409
    message = "The request conflicts with what is there."
    action = "Read the resource, then decide."


class IdempotencyConflict(Conflict):
    code = "IDEMPOTENCY_CONFLICT"
    message = "Another request was made under this id within the last 24 hours."
    action = "Use a new clientMessageId or Idempotency-Key for another message."


class AlreadySent(Conflict):
    code = "ALREADY_SENT"
    message = "The message was already handed to an operator, or has ended."
    action = "Nothing to do; read its status."


class AlreadyExists(Conflict):
    code = "ALREADY_EXISTS"
    message = "There is one like it already."
    action = "Change the one that is there."


class ContactExists(AlreadyExists):
    code = "CONTACT_ALREADY_EXISTS"
    message = "There is a contact with this phone number already."


class TemplateExists(AlreadyExists):
    code = "TEMPLATE_ALREADY_EXISTS"
    message = "There is a template of this name in this language already."


class KeywordExists(AlreadyExists):
    code = "KEYWORD_ALREADY_EXISTS"
    message = "There is a rule for this keyword already."


class BuiltInKeyword(Conflict):
    code = "KEYWORD_BUILT_IN"
    message = "Built-in keywords cannot be removed, and keep their action."
    action = "Change its replyText, or add a keyword of your own."


class PayloadTooLarge(Problem):
    code = "PAYLOAD_TOO_LARGE"
    status = 413
    message = "The body is larger than 2 MiB."
    action = "Split the request."


class UnsupportedMediaType(Problem):
    code = "UNSUPPORTED_MEDIA_TYPE"
    status = 415
    message = "The body must be application/json in UTF-8."
    action = "Send Content-Type: application/json."


class Unprocessable(Problem):
    code = "UNPROCESSABLE"
    status = 422
    message = "The request is well-formed but cannot be processed."
    action = "See the message."


class NoRoute(Unprocessable):
    code = "NO_ROUTE"
    message = "No operator carries messages to this recipient."
    action = "Check the recipient and the channel, or have a route added."


class TemplateNotFound(Unprocessable):
    code = "TEMPLATE_NOT_FOUND"
    message = "There is no such template in this language."
    action = "Create the template first, or send text."


class TemplateNotApproved(Unprocessable):
    code = "TEMPLATE_NOT_APPROVED"
    message = "The template is not approved."
    action = "Wait for the approval, or correct what its reason says and submit it again."


class TemplateVariableMissing(Unprocessable):
    code = "TEMPLATE_VARIABLE_MISSING"
    message = "The template has variables that were not given."
    action = "Give a value for each variable that details names."


class TemplateChannelMismatch(Unprocessable):
    code = "TEMPLATE_CHANNEL_MISMATCH"
    message = "The template is not made for this channel."
    action = "Send it over one of its channels, or add the channel to it."


class RecipientOptedOut(Unprocessable):
    code = "RECIPIENT_OPTED_OUT"
    message = "The recipient does not want messages from this sender."
    action = (
        "Do not send; the recipient can opt in again by START, or be taken off /v1/opt-outs with consent."
    )


class FeatureNotAvailable(Unprocessable):
    code = "FEATURE_NOT_AVAILABLE"
    message = "This is not available yet."
    action = "Leave the member out."


class TooMany(Problem):
    code = "TOO_MANY_REQUESTS"
    status = 429
    retryable = True
    message = "Too much at once."
    action = "Wait for as long as Retry-After says, then send the same request again."


class RateLimited(TooMany):
    code = "RATE_LIMITED"
    message = "The API key's rate is used up."


class QueueFull(TooMany):
    code = "QUEUE_FULL"
    message = "Too many of the account's messages are waiting to be sent."


class Internal(Problem):
    code = "INTERNAL_ERROR"
    status = 500
    retryable = True
    message = "Something went wrong on our side."
    action = "Send the same request again, with the same clientMessageId; quote requestId if it persists."


class Unavailable(Problem):
    code = "SERVICE_UNAVAILABLE"
    status = 503
    retryable = True
    message = "The platform cannot take requests at the moment."
    action = "Send the same request again in a few seconds, with the same clientMessageId."


# What ends a message without an HTTP error: `errorCode` of messages and events.
OUTCOMES: dict[str, tuple[str, str]] = {
    "EXPIRED_BEFORE_SUBMISSION": (
        "The validity ran out before an operator took the message.",
        "Give a longer validitySeconds, or send again.",
    ),
    "OPERATOR_UNAVAILABLE": (
        "No operator could take the message in time.",
        "Send again later.",
    ),
    "NOT_DELIVERED_IN_TIME": (
        "A step of the fallback chain was not delivered within its afterSeconds.",
        "Nothing; the next step was taken.",
    ),
    "OUTCOME_UNKNOWN": (
        "The operator did not answer; whether it has the message is not known.",
        "Wait for a receipt, or send again if a repeat does no harm.",
    ),
    "EXPIRED_AT_OPERATOR": (
        "The validity ran out at the operator, before the handset was reached.",
        "Give a longer validitySeconds, or send again.",
    ),
    "DELETED_BY_OPERATOR": ("The operator deleted the message.", "Ask the platform's operator."),
    "REJECTED_BY_OPERATOR": (
        "The operator refused the message for what it is.",
        "Read operatorCode in the message's events.",
    ),
    "PARTLY_REJECTED_BY_OPERATOR": (
        "The operator refused some of the message's parts.",
        "Read operatorCode in the message's events.",
    ),
    "RECIPIENT_NOT_REACHABLE": (
        "The recipient cannot be reached on this channel.",
        "Send on another channel, or give a fallback.",
    ),
    "TEMPLATE_REQUIRED": (
        "The recipient has not written in the last 24 hours: only a template may be sent.",
        "Send a template.",
    ),
    "METADATA_INVALID": (
        "The operator needs metadata that the message lacks, or has in another form.",
        "Read operatorCode in the message's events, and send again with that member of metadata.",
    ),
    "UNENCODABLE": (
        "The text has no form that the operator can carry.",
        "Shorten the text, or use other characters.",
    ),
    "UNDELIVERABLE": ("The operator could not deliver the message.", "Check that the number is in service."),
}


def catalogue() -> list[dict[str, Any]]:
    """Every code a client can meet, sorted: ``errorCode, status, retryable, message, action``.

    ``status`` is null for the codes that only messages and events carry.
    """
    entries = {
        leaf.code: {
            "errorCode": leaf.code,
            "status": leaf.status,
            "retryable": leaf.retryable,
            "message": leaf.message,
            "action": leaf.action,
        }
        for leaf in _leaves(Problem)
    }
    for code, (message, action) in OUTCOMES.items():
        entries.setdefault(
            code,
            {"errorCode": code, "status": None, "retryable": False, "message": message, "action": action},
        )
    return [entries[code] for code in sorted(entries)]


def _leaves(root: type[Problem]) -> list[type[Problem]]:
    found = [root] if root.code else []
    for leaf in root.__subclasses__():
        found.extend(_leaves(leaf))
    return found
