"""The WhatsApp Business Cloud API: texts, approved templates, media. Source: Meta's reference of the Cloud API,
"Messages", "Template messages" and "Error codes".

Beside those of every HTTP operator (:mod:`routing.transports.http_engine`), with their defaults::

    phone_number_id  required     the business number's, from the app's dashboard
    url              https://graph.facebook.com/v23.0
    business_account_id  none     whose templates are read, by `manage.py sync_templates` and by the relay
    sync_templates_minutes  60    the relay reads them so often; 0 is never
    language         en           of a template whose message names none
    preview_url      false        show a preview of a text's first link
    template_components  {}       by a template's name, what it has beside its body: a list of components in Meta's
                                  form, with places as in :mod:`routing.transports.http_template`
    errors           {}           codes → meanings, as of :mod:`routing.transports.http_generic`, before those here

``secrets``: ``token``, a system user's; what comes back is :mod:`routing.transports.whatsapp_intake`'s, what a
template's variables make :mod:`routing.transports.whatsapp_components`'s.
"""

import re
from typing import Any

import msgspec

from routing.contract import OperatorSettings, Outbound
from routing.transports import (
    http_answers,
    http_rules,
    http_template,
    whatsapp_components,
    whatsapp_intake,
    whatsapp_sync,
    whatsapp_templates,
)
from routing.transports.http_answers import Meaning, Reading
from routing.transports.http_client import Answer, Request
from routing.transports.http_engine import HttpTransport, UnsendableError
from routing.transports.http_paths import Path
from routing.transports.http_settings import Reader

_ID = Path("messages[0].id", setting="")
_CODE = Path("error.code", setting="")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8}){0,2}")
# A caption is shown with these only.
_CAPTIONED = frozenset({"image", "video", "document"})

# By error.code; what is not here is by the HTTP status.
ERRORS: dict[str, tuple[Meaning, str | None]] = {
    # Our token, its permissions, the account.
    **{str(code): (Meaning.BARRED, None) for code in (0, 3, 10, 190, 368, 131005, 131031, 131042, 133010)},
    **{str(code): (Meaning.BARRED, None) for code in range(200, 300)},
    # Too many calls: of the app, of the account, of the number.
    **{str(code): (Meaning.THROTTLED, None) for code in (4, 80007, 130429)},
    # Too many to this handset, or of this number for now; theirs to mend.
    **{str(code): (Meaning.TEMPORARY, None) for code in (2, 131016, 131048, 131056, 133004)},
    "131026": (Meaning.PERMANENT, "RECIPIENT_NOT_REACHABLE"),
    "131047": (Meaning.PERMANENT, "TEMPLATE_REQUIRED"),
    "131021": (Meaning.PERMANENT, "INVALID_RECIPIENT"),
    "131030": (Meaning.PERMANENT, "INVALID_RECIPIENT"),
}


class WhatsAppTransport(HttpTransport):
    def __init__(self, operator: OperatorSettings) -> None:
        reader = Reader(operator)
        url = reader.url("url", whatsapp_templates.URL)
        super().__init__(operator, reader, url=url)
        self._target = f"{url.rstrip('/')}/{whatsapp_intake.number_id(reader)}/messages"
        self._headers = {
            "Authorization": f"Bearer {reader.secret('token', 'the Cloud API')}",
            "Content-Type": "application/json",
        }
        self._language = reader.text("language", "en")
        if not _LANGUAGE.fullmatch(self._language):
            raise reader.wrong("language", "a language such as en or pt_BR")
        self._preview = reader.flag("preview_url", default=False)
        self._components = _components(reader)
        self._errors = ERRORS | http_rules.errors(reader)
        whatsapp_templates.account_id(reader)
        whatsapp_sync.minutes(reader)
        whatsapp_intake.read(reader)
        reader.done()

    def request(self, message: Outbound) -> Request:
        body = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": message.recipient.removeprefix("+"),
            **self._content(message),
        }
        return Request("POST", self._target, self._headers, msgspec.json.encode(body))

    def read(self, answer: Answer) -> Reading:
        try:
            document = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            document = None
        remote_id = _ID.first(document)
        if 200 <= answer.status < 300:
            # Meta took something, and did not say as what: not to be sent twice.
            return Reading(Meaning.ACCEPTED, (remote_id,)) if remote_id else Reading(Meaning.UNKNOWN)
        code = _CODE.first(document)
        shown = (code or f"HTTP {answer.status}")[: http_rules.LONGEST_CODE]
        meaning, error_code = self._errors.get(code or "") or (http_answers.by_status(answer), None)
        return Reading(meaning, code=shown, error_code=error_code)

    def _content(self, message: Outbound) -> dict[str, Any]:
        content = message.content or {}
        if (template := content.get("template")) is not None:
            return {"type": "template", "template": self._template(template, message)}
        if (media := content.get("media")) is not None:
            return _media(media)
        if message.text is None:
            raise UnsendableError("the message has neither text nor template nor media")
        return {"type": "text", "text": {"preview_url": self._preview, "body": message.text}}

    def _template(self, asked: dict[str, Any], message: Outbound) -> dict[str, Any]:
        fixed = http_template.filled(self._components.get(asked["name"], []), message)
        components = whatsapp_components.of(asked.get("variables") or {}, fixed=fixed)
        made: dict[str, Any] = {
            "name": asked["name"],
            "language": {"code": (asked.get("language") or self._language).replace("-", "_")},
        }
        return made | ({"components": components} if components else {})


def _media(media: dict[str, Any]) -> dict[str, Any]:
    """A file at a URL, or that was uploaded before."""
    kind = media["type"]
    shown = {"id": media["id"]} if media.get("id") else {"link": media["url"]}
    if media.get("caption") and kind in _CAPTIONED:
        shown["caption"] = media["caption"]
    if media.get("filename") and kind == "document":
        shown["filename"] = media["filename"]
    return {"type": kind, kind: shown}


def _components(reader: Reader) -> dict[str, Any]:
    given = reader.any("template_components")
    if given is None:
        return {}
    wanted = "an object: a template's name → a list of components, objects each"
    if not isinstance(given, dict) or not all(
        isinstance(each, list) and all(isinstance(one, dict) for one in each) for each in given.values()
    ):
        raise reader.wrong("template_components", wanted)
    operator = reader.operator
    made: dict[str, Any] = http_template.shape(
        given, setting=f"{operator.slug}: template_components", secrets=operator.secrets
    )
    return made
