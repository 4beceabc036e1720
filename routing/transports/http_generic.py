"""Any operator that takes a message in one HTTP request: what it is sent, and what its answers mean, by settings.

Beside those of every HTTP operator (:mod:`routing.transports.http_engine`), with their defaults::

    method           POST | GET | PUT
    headers          {}        an object of templates
    body             none      an object or a list: templates in the places of its texts; or a text, one template
    body_type        json      json | form | text | xml: how values are written into it, and its Content-Type
    auth             none | basic (username, the secret password) | bearer (the secret token)
                     | header (auth_name: the secret token) | query (auth_name=the secret token)
    success_status   200-299   a status, a range, or a list of them
    success_path     none      where the answer says so itself: status, messages.*.status
    success_equals   none      what stands there then, a value or a list; none: anything
    id_path          none      where its id is; several where it has one a part: messages.*.id
    id_pattern       none      the same as a regular expression with one group, for what is not JSON
    code_path, code_pattern    where the code of a refusal is
    errors           {}        that code, or an HTTP status → permanent | temporary | throttled | unknown | barred,
                               with an error code of ours if wanted: "permanent:INVALID_RECIPIENT"

:mod:`routing.transports.http_template` lists what templates may have. A member of a JSON object or a field of a form
that is one place and nothing else is left out where the message has nothing for it. What comes back from the
operator, and how, is :mod:`routing.transports.http_intake`'s.
"""

import base64
from collections.abc import Callable

import msgspec

from routing.contract import OperatorSettings, Outbound
from routing.errors import OperatorSettingsError
from routing.transports import http_intake, http_rules, http_template
from routing.transports.http_answers import Reading
from routing.transports.http_client import Answer, Request
from routing.transports.http_engine import HttpTransport, UnsendableError
from routing.transports.http_settings import Reader
from routing.transports.http_template import Escape, NoTextError, Template

CONTENT_TYPES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
    "xml": "application/xml; charset=utf-8",
}
ESCAPES: dict[str, Escape] = {
    "json": http_template.in_json,
    "form": http_template.in_url,
    "text": http_template.as_it_is,
    "xml": http_template.in_xml,
}
AUTHS = ("none", "basic", "bearer", "header", "query")

Body = Callable[[Outbound], bytes]


class HttpGenericTransport(HttpTransport):
    def __init__(self, operator: OperatorSettings) -> None:
        reader = Reader(operator)
        url = reader.url("url")
        super().__init__(operator, reader, url=url)
        self._method = reader.choice("method", ("POST", "GET", "PUT"), "POST")
        self._headers, self._query = _fixed(reader)
        self._templates = {
            name: _template(reader, f"headers[{name}]", value, http_template.in_header)
            for name, value in reader.headers("headers").items()
        }
        self._target = _template(reader, "url", url, http_template.in_url)
        self._body = _body(reader)
        if self._body is not None:
            kind = CONTENT_TYPES[reader.choice("body_type", tuple(CONTENT_TYPES), "json")]
            self._headers = {"Content-Type": kind, **self._headers}
            if self._method == "GET":
                raise OperatorSettingsError(f"{operator.slug}: a GET has no body; put its places into url.")
        self._rules = http_rules.read(reader)
        http_intake.read(reader)
        reader.done()

    def request(self, message: Outbound) -> Request:
        try:
            url = self._target.render(message)
            headers = self._headers | {name: t.render(message) for name, t in self._templates.items()}
            body = None if self._body is None else self._body(message)
        except NoTextError as error:
            raise UnsendableError("the message has no text") from error
        if self._query:
            url += ("&" if "?" in url else "?") + self._query
        return Request(self._method, url, headers, body)

    def read(self, answer: Answer) -> Reading:
        return self._rules.read(answer)


def _template(reader: Reader, setting: str, source: str, escape: Escape) -> Template:
    operator = reader.operator
    return Template(source, setting=f"{operator.slug}: {setting}", secrets=operator.secrets, escape=escape)


def _fixed(reader: Reader) -> tuple[dict[str, str], str]:
    """The headers, and the end of the query, that say who we are."""
    auth = reader.choice("auth", AUTHS, "none")
    username = reader.text("username")
    name = reader.text("auth_name")
    if auth == "basic":
        if not username or ":" in username:
            raise reader.wrong("username", "a name without a colon: auth basic needs it")
        pair = f"{username}:{reader.secret('password', 'auth basic')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}, ""
    if auth == "bearer":
        return {"Authorization": f"Bearer {reader.secret('token', 'auth bearer')}"}, ""
    if auth == "header":
        return {reader.header("auth_name"): reader.secret("token", "auth header")}, ""
    if auth == "query":
        if not name:
            raise OperatorSettingsError(f"{reader.operator.slug}: auth_name is missing; auth query needs it.")
        return {}, "=".join(map(http_template.in_url, (name, reader.secret("token", "auth query"))))
    return {}, ""


def _body(reader: Reader) -> Body | None:
    """What makes a message's body; None for no body."""
    kind = reader.choice("body_type", tuple(CONTENT_TYPES), "json")
    source = reader.any("body")
    if source is None:
        return None
    if isinstance(source, str):
        template = _template(reader, "body", source, ESCAPES[kind])
        return lambda message: template.render(message).encode()
    if isinstance(source, dict) and kind == "form":
        return _form(reader, reader.texts("body"))
    if isinstance(source, dict | list) and kind == "json":
        shape = http_template.shape(
            source, setting=f"{reader.operator.slug}: body", secrets=reader.operator.secrets
        )
        return lambda message: msgspec.json.encode(http_template.filled(shape, message))
    raise reader.wrong("body", f"a text{' or an object' if kind in {'json', 'form'} else ''}, as {kind}")


def _form(reader: Reader, source: dict[str, str]) -> Body:
    # Written here, not place by place, so that a field can be told to be empty.
    fields = [
        (http_template.in_url(name), _template(reader, f"body.{name}", value, http_template.as_it_is))
        for name, value in source.items()
    ]

    def render(message: Outbound) -> bytes:
        values = ((name, template.value(message)) for name, template in fields)
        return "&".join(f"{n}={http_template.in_url(str(v))}" for n, v in values if v is not None).encode()

    return render
