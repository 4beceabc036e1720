"""The platform's own people at work: tenants, keys, templates, consent; the ledger and the audit trail to read.

Each module registers its models with Django's admin.
"""

from django.contrib import admin

from gateway.admin import api_keys, audit, consent, messages, numbers, templates, tenants, users

__all__ = ["api_keys", "audit", "consent", "messages", "numbers", "templates", "tenants", "users"]

admin.site.site_header = admin.site.site_title = "Trunkline"
admin.site.index_title = "Administration"
# What the link to the site leads to.
admin.site.site_url = "/v1/docs"
