"""The OpenAPI document's parts, one a resource: each a ``PART`` of ``paths``, ``schemas`` and ``tags``."""
