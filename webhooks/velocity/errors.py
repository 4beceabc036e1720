"""What can be wrong with a template."""


class TemplateError(ValueError):
    """A sentence for the tenant, without its full stop: the template cannot be read, or comes to too much."""
