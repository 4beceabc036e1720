"""Operators, their templates, routes and parked receipts in the admin; a change takes effect without a restart.

Each module registers its models with Django's admin.
"""

from routing.admin import operator_templates, operators, parked_receipts, routes

__all__ = ["operator_templates", "operators", "parked_receipts", "routes"]
