"""What can go wrong on the way to an endpoint.

    CallbackError
    ├── InvalidTarget      the URL or a header cannot be used at all
    ├── BlockedAddress     every address of the host is one that callbacks may not reach
    ├── ResolveFailed      the name has no address
    ├── ConnectFailed      no connection
    ├── TlsFailed          no trusted connection
    ├── ProtocolFailed     what came back is not HTTP/1.1, or broke off
    └── TimedOut           the attempt's deadline passed

Each has an ``outcome``, the word that the attempt is recorded with. All of them are tried again.
"""


class CallbackError(Exception):
    outcome = "error"


class InvalidTarget(CallbackError):
    outcome = "invalid"


class BlockedAddress(CallbackError):
    outcome = "blocked"


class ResolveFailed(CallbackError):
    outcome = "dns"


class ConnectFailed(CallbackError):
    outcome = "connect"


class TlsFailed(CallbackError):
    outcome = "tls"


class ProtocolFailed(CallbackError):
    outcome = "protocol"


class TimedOut(CallbackError):
    outcome = "timeout"
