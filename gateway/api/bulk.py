"""``POST /v1/messages/bulk``: up to 1,000 messages, each with its own result."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from gateway import errors, ids, submission
from gateway.api import fields, schema
from gateway.api.errors import body as error_body
from gateway.api.views import StrictRequest, View, answer, credential
from gateway.errors import Detail, Problem
from gateway.keys import Credential
from gateway.storing import Submission
from gateway.submission import Accepted, Batch, Outcome, Refused

LARGEST = submission.GROUP


class Bulk(View):
    permissions = {"POST": "messages:send"}

    def post(self, request: StrictRequest) -> HttpResponse:
        now = datetime.now(tz=UTC)
        caller = credential(request)
        key = schema.idempotency_key(request.META.get("HTTP_IDEMPOTENCY_KEY"))
        body = request.members
        call = _Call(_items(body), caller, now)
        if key is None:
            data = call.render(submission.accept(submissions=call.submissions, now=now))
            return _answer(request, data, replayed=call.replayed)
        batch = Batch(caller.tenant_id, call.batch_id, key, schema.fingerprint(body), call.render)
        data, replayed = submission.accept_batch(batch=batch, submissions=call.submissions, now=now)
        return _answer(request, data, replayed=replayed or call.replayed)


def _answer(request: Request, data: dict[str, Any], *, replayed: bool) -> HttpResponse:
    response = answer(request, data)
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _items(body: dict[str, Any]) -> list[Any]:
    """The call's messages with the defaults filled in.

    Raises:
        errors.Invalid: for the call as a whole.
    """
    faults = fields.Faults()
    for name in body.keys() - {"messages", "defaults"}:
        faults.add(name, "UNKNOWN_MEMBER", "There is no such member.")
    messages, defaults = body.get("messages"), body.get("defaults")
    if type(messages) is not list or not messages:
        faults.add("messages", "REQUIRED", "An array of 1 to 1,000 messages.")
    elif len(messages) > LARGEST:
        raise errors.BatchTooLarge(details=[Detail("messages", "TOO_MANY", f"At most {LARGEST:,} messages.")])
    if defaults is None:
        defaults = {}
    elif type(defaults) is not dict:
        faults.add("defaults", "INVALID_TYPE", "Must be an object.")
        defaults = {}
    for name in defaults.keys() - (schema.MEMBERS - {"clientMessageId"}):
        faults.add(f"defaults.{name}", "UNKNOWN_MEMBER", "There is no such default.")
    if faults or type(messages) is not list:
        raise faults.problem()
    return [defaults | item if type(item) is dict else item for item in messages] if defaults else messages


class _Call:
    """One bulk call: which of its items are valid, and the answer about all of them."""

    def __init__(self, items: Sequence[Any], caller: Credential, now: datetime) -> None:
        self.batch_id = ids.one()
        self.replayed = False
        self.submissions: list[Submission] = []
        # For each item its problem; None for the valid ones, whose outcomes come in the same order.
        self._problems: list[Problem | None] = []
        for item in items:
            try:
                draft = schema.message(item, credential=caller, key=None, now=now)
            except Problem as problem:
                self._problems.append(problem)
            else:
                draft.batch_id = self.batch_id
                self.submissions.append(draft)
                self._problems.append(None)

    def render(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        """The call's answer.

        Raises:
            errors.Problem: none of the messages was accepted; with the results.
        """
        following = iter(outcomes)
        problems: list[Problem] = []
        results: list[dict[str, Any]] = []
        for index, problem in enumerate(self._problems):
            outcome: Outcome = next(following) if problem is None else Refused(problem)
            if isinstance(outcome, Refused):
                problems.append(outcome.problem)
                results.append({"index": index, "error": error_body(outcome.problem)})
            else:
                results.append(_result(index, outcome))
        taken = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
        if not taken:
            raise _nothing(problems, results)
        return {
            "batchId": str(self._batch_of(taken)),
            "accepted": len(taken),
            "rejected": len(problems),
            "results": results,
        }

    def _batch_of(self, taken: Sequence[Accepted]) -> object:
        """The new batch; or the old one, when this call only repeats it."""
        self.replayed = all(outcome.replayed for outcome in taken)
        batches = {outcome.submission.batch_id for outcome in taken} if self.replayed else set()
        return batches.pop() or self.batch_id if len(batches) == 1 else self.batch_id


def _result(index: int, outcome: Accepted) -> dict[str, Any]:
    return {
        "index": index,
        "id": outcome.id,
        "status": outcome.status,
        "clientMessageId": outcome.submission.client_message_id,
    }


def _nothing(problems: Sequence[Problem], results: list[dict[str, Any]]) -> Problem:
    """What to say when all were refused: wait, if that is what each of them was told."""
    body = {"batchId": None, "accepted": 0, "rejected": len(problems), "results": results}
    if all(isinstance(problem, errors.QueueFull) for problem in problems):
        return errors.QueueFull(retry_after=problems[0].retry_after, body=body)
    details = [
        detail._replace(field=f"messages[{index}].{detail.field}".rstrip("."))
        for index, problem in enumerate(problems[:20])
        for detail in problem.details
    ]
    return errors.AllInvalid(details=details, body=body)
