"""What can go wrong on an SMPP link.

    SmppError
    ├── PduError          one PDU is malformed; the stream is still in step; `status` is what to answer with
    ├── FramingError      the stream itself makes no sense; close the connection
    ├── WindowFullError   as many requests are unanswered as the peer allows; wait for an answer
    ├── NotBoundError     the session is not in a state to carry this request; bind first
    ├── UnencodableError  a text has no form in the alphabet or the parts asked for
    ├── UnsendableError   a message has no form for this operator; `error_code` is what its rejection is told as
    └── TooLateError      a message's validity is over before it could be sent

None of these is a peer's refusal: a refusal is an answer with a command_status and is reported as an event.
"""


class SmppError(Exception):
    """Base of this app's errors."""

    code = "SMPP_ERROR"
    retryable = False


class PduError(SmppError):
    """A PDU whose body cannot be read or written; `status` is the command_status to answer it with."""

    code = "PDU_MALFORMED"

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class FramingError(SmppError):
    """A command_length that no peer in its senses sends: where the next PDU begins is not known."""

    code = "STREAM_OUT_OF_STEP"
    retryable = True


class WindowFullError(SmppError):
    """No free place in the window; try again when an answer has come."""

    code = "WINDOW_FULL"
    retryable = True


class NotBoundError(SmppError):
    """The session is not bound, or not for this direction; wait for `Bound`."""

    code = "NOT_BOUND"
    retryable = True


class UnencodableError(SmppError):
    """The text needs more than 255 parts, or has characters that no alphabet on offer can carry."""

    code = "TEXT_UNENCODABLE"


class UnsendableError(SmppError):
    """A message that this operator cannot be given as it is: its sender, or the metadata for a TLV."""

    code = "MESSAGE_UNSENDABLE"

    def __init__(self, message: str, *, error_code: str) -> None:
        super().__init__(message)
        self.error_code = error_code


class TooLateError(SmppError):
    """The message is to expire before its turn."""

    code = "VALIDITY_OVER"
