"""How a message gets out: operators, routes, and what is on its way."""

from routing.models.delivery import Delivery
from routing.models.inbound_part import InboundPart
from routing.models.network_range import NetworkRange
from routing.models.operator import Operator
from routing.models.operator_state import OperatorState
from routing.models.operator_template import OperatorTemplate
from routing.models.parked_receipt import ParkedReceipt
from routing.models.part import Part
from routing.models.route import Route

__all__ = [
    "Delivery",
    "InboundPart",
    "NetworkRange",
    "Operator",
    "OperatorState",
    "OperatorTemplate",
    "ParkedReceipt",
    "Part",
    "Route",
]
