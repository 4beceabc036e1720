"""How a webhook's callbacks are rendered, where that is not the standard body in JSON. Worked out once a webhook."""

from collections.abc import Mapping
from dataclasses import dataclass

from webhooks import velocity
from webhooks.formats import encodings, variables
from webhooks.velocity import Template, TemplateError, Url

STANDARD = "standard"
OCTOPUSH = "octopush"


@dataclass(frozen=True, slots=True)
class Plan:
    """``url`` is None for one without references; ``broken`` a sentence when what is stored cannot be read."""

    format: str
    encoding: str
    method: str
    headers: Mapping[str, str]
    template: Template | None = None
    url: Url | None = None
    broken: str | None = None

    @property
    def names(self) -> frozenset[str]:
        """The variables that it refers to."""
        of_body = frozenset() if self.template is None else self.template.roots
        return of_body if self.url is None else of_body | self.url.roots

    @property
    def is_json_object(self) -> bool:
        """Whether each body is a JSON object of our own making."""
        return (
            self.template is None
            and self.encoding == encodings.JSON
            and self.format != OCTOPUSH
            and self.method != "GET"
        )

    def needs_details(self, type_: str) -> bool:
        """Whether the bodies of a type of event need more than the event and its message's row tell."""
        if variables.need_details(type=type_, names=self.names):
            return True
        if self.template is not None or self.method == "GET":
            return False
        return self.format == "messagemedia" or (self.format == OCTOPUSH and type_ == "contact.opted_out")


def read(
    *,
    format: str,  # noqa: A002 - the webhook's word
    encoding: str,
    method: str,
    headers: Mapping[str, str],
    template: str | None,
    url: str,
) -> Plan | None:
    """The plan; None for the standard body in JSON, sent to a URL without references."""
    try:
        filled = velocity.read_url(url)
        body = velocity.read(template) if template and method != "GET" else None
    except TemplateError as error:
        return Plan(format, encoding, method, headers, broken=str(error))
    if format == STANDARD and encoding == encodings.JSON and method != "GET" and not (body or filled):
        return None
    return Plan(format, encoding, method, headers, body, filled)
