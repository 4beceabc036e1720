"""How a message gets out: operators, routes, and what is on its way."""

from routing.models.delivery import Delivery
from routing.models.operator import Operator
from routing.models.operator_state import OperatorState
from routing.models.parked_receipt import ParkedReceipt
from routing.models.part import Part
from routing.models.route import Route

__all__ = ["Delivery", "Operator", "OperatorState", "ParkedReceipt", "Part", "Route"]
