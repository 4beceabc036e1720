"""What ``details[].code`` can be, besides the error codes themselves."""

from typing import Final

DETAILS: Final[dict[str, str]] = {
    "EMPTY": "Nothing is to be done: every member is absent or null.",
    "INVALID": "The value is not one that can be used.",
    "INVALID_CHARACTER": "NUL or an unpaired surrogate.",
    "INVALID_LENGTH": "Too short or too long.",
    "INVALID_TYPE": "Another JSON type is expected.",
    "INVALID_VALUE": "The value is not one of those allowed, or not of the form.",
    "NOT_AVAILABLE": "The platform does not do this yet.",
    "OUT_OF_RANGE": "The number or the moment is outside the bounds.",
    "PERMISSION_MISSING": "The key lacks the permission that the sentence names.",
    "REQUIRED": "The member must be given.",
    "TOO_LARGE": "More bytes than are kept.",
    "TOO_MANY": "More items than are taken.",
    "UNKNOWN_MEMBER": "There is no such member or parameter.",
}
