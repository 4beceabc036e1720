"""The keywords' part of the OpenAPI document."""

from typing import Any

from gateway import keywords
from gateway.api.keywords import REPLY_LENGTH, WORD, WORDS
from gateway.api.shapes import (
    CURSOR,
    LIMIT,
    READS,
    TIME,
    URL,
    UUID,
    WRITES,
    Json,
    answer,
    body,
    in_path,
    nothing,
    null,
    object_,
    one_of,
    page,
    problems,
    resource,
    scope,
    text,
)
from gateway.keywords import Action, Match

_ABOUT = """What happens when a handset writes a certain word. It is compared without regard to case and to \
punctuation around it: exact rules with the whole text, firstWord ones with its first word; exact goes first. Every \
account has STOP, STOPALL, UNSUBSCRIBE, CANCEL, END, QUIT (opt out), START, UNSTOP, YES (opt in), HELP, INFO (help). \
The same in French, Spanish, German and Portuguese, accents aside: ARRET, BAJA, ABMELDEN, SAIR and more, each \
replied to in its language; the list has them all. \
A word that opts out or in is replied to when that changes something; other replies once a minute at most. What the \
actions reply and forward reply goes to nobody who has opted out."""
_REPLY = text("Sent back to the handset.", least=1, most=REPLY_LENGTH, example="Welcome to the club!")
_URL = URL | {"description": "Is called with message.received, besides the webhooks."}
_MATCH = one_of(*Match.values, about="The whole text, or its first word.")
_ACTION = one_of(*Action.values, about="reply takes a replyText, forward a callbackUrl.") | {
    "examples": ["reply"]
}


def _word(pattern: str) -> Json:
    about = "Kept in capitals; the space between words is one."
    return text(about, least=1, most=keywords.LENGTH, example="JOIN") | {"pattern": f"^{pattern}$"}


def _new(action: Json, match: Json, word: str, **members: Json) -> Json:
    given = {"keyword": _word(word), "match": match, "action": action}
    optional = {"replyText": null(_REPLY), "callbackUrl": null(_URL)}
    return object_(
        given | optional | members,
        required=("keyword", "action", *(("match",) if word is WORD else ()), *members),
        closed=True,
    )


def _each_action(match: Json, word: str) -> list[Json]:
    return [
        _new(one_of("reply"), match, word, replyText=_REPLY),
        _new(one_of("forward"), match, word, callbackUrl=_URL),
        _new(one_of("optOut", "optIn", "help"), match, word),
    ]


_EXAMPLE: Json = {
    "keyword": "JOIN",
    "match": "firstWord",
    "action": "reply",
    "replyText": "Welcome to the club!",
}
_MEMBERS: Json = {
    "id": UUID,
    "keyword": text("In capitals.", example="JOIN"),
    "match": _MATCH,
    "action": _ACTION,
    "replyText": null(_REPLY),
    "callbackUrl": null(_URL) | {"examples": [None]},
    "builtIn": {
        "type": "boolean",
        "description": "Every account has it: it stays, with its action.",
        "examples": [False],
    },
    "createdAt": null(TIME) | {"description": "Null for a built-in one that was never changed."},
    "updatedAt": null(TIME),
}
_ID = in_path("keywordId", about="The keyword's id.")


def _call(operation: str, permission: str, summary: str, **more: Any) -> Json:
    return {"tags": ["keywords"], "operationId": operation, "summary": summary} | more | scope(permission)


PART: Json = {
    "tags": [{"name": "keywords", "description": _ABOUT}],
    "schemas": {
        "NewKeyword": {
            "oneOf": [
                *_each_action(one_of("firstWord"), WORD),
                *_each_action(null(one_of("exact")) | {"default": "exact"}, WORDS),
            ],
            "examples": [_EXAMPLE],
        },
        "KeywordChange": object_(
            {
                "keyword": _word(WORDS),
                "match": _MATCH,
                "action": _ACTION,
                "replyText": null(_REPLY)
                | {"description": "Null: none; of a built-in one, that which it came with."},
                "callbackUrl": null(_URL),
            },
            closed=True,
            about="Members that are not given stay. Of a built-in one only replyText and callbackUrl change.",
            example={"replyText": "You are off the list. START brings you back."},
        ),
        "Keyword": resource(_MEMBERS),
        "KeywordLine": object_(_MEMBERS, required=tuple(_MEMBERS)),
        "KeywordPage": page("KeywordLine"),
    },
    "paths": {
        "/v1/keywords": {
            "get": _call(
                "listKeywords",
                "inbound:read",
                "The account's keywords: its own, newest first, then those that every account has.",
                parameters=[LIMIT, CURSOR],
                responses={"200": answer("A page.", "KeywordPage")} | READS,
            ),
            "post": _call(
                "createKeyword",
                "contacts:manage",
                "Add a keyword.",
                requestBody=body("NewKeyword", example=_EXAMPLE),
                responses={"201": answer("Added.", "Keyword")} | WRITES | problems(409),
            ),
        },
        "/v1/keywords/{keywordId}": {
            "get": _call(
                "getKeyword",
                "inbound:read",
                "One keyword.",
                parameters=[_ID],
                responses={"200": answer("The keyword.", "Keyword")} | READS | problems(404),
            ),
            "patch": _call(
                "changeKeyword",
                "contacts:manage",
                "Change a keyword.",
                parameters=[_ID],
                requestBody=body("KeywordChange"),
                responses={"200": answer("Changed.", "Keyword")} | WRITES | problems(404, 409, 422),
            ),
            "delete": _call(
                "removeKeyword",
                "contacts:manage",
                "Remove a keyword of the account's own.",
                parameters=[_ID],
                responses={"204": nothing("Removed.")} | READS | problems(404, 409),
            ),
        },
    },
}
