"""What can go wrong between the ledger and an operator.

RoutingError
├── UnknownTransport     an operator names a transport that settings.TRANSPORTS does not have
├── OperatorSettingsError  an operator's settings do not make sense; says which
└── OperatorDown         this process has no live transport for the operator; its messages go back to wait
"""


class RoutingError(Exception):
    """Base of the app's errors. ``retryable``: whether the same thing may work later."""

    retryable = False


class UnknownTransport(RoutingError):
    pass


class OperatorSettingsError(RoutingError):
    pass


class OperatorDown(RoutingError):
    retryable = True
