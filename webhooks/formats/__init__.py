"""Bodies of callbacks, by format and encoding. Pure.

============= =========================== ===========================================================================
format        without a template          as FORM_ENCODED, as XML
============= =========================== ===========================================================================
standard      Standard Webhooks           ``type``, ``timestamp`` and the members of ``data``; ``<callback>``
messagemedia  the vendor's sample bodies  their members; ``<callback>``
octopush      delivery receipt, reply or  its fields, ``meta_data`` as JSON text; ``<callback>``
              opt-out
============= =========================== ===========================================================================

In a form, what is itself an object is JSON text, and what is null is left out. An event that a format has no body for
has the standard one. A template takes the place of all of this: what it gives is the body in every encoding.
"""
