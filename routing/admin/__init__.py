"""Operators, routes and parked receipts in the admin; what is changed here takes effect without a restart.

Each module registers its models with Django's admin.
"""

from routing.admin import operators, parked_receipts, routes

__all__ = ["operators", "parked_receipts", "routes"]
