"""``manage.py add_operator SLUG --transport smpp …``."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from gateway.management import console
from routing import provisioning
from routing.models import Operator
from routing.provisioning import OperatorWish

# Options that are settings of the transport, under the same name.
_SETTINGS = ("host", "port", "system_id", "system_type", "bind", "binds", "window", "url", "tls_ca_file")

# What an operator posts to us, each at a path of its own.
_INTAKES = {"http": ("receipts", "inbound"), "whatsapp": ("events",), "rcs": ("events",)}

# What a kind of operator carries where nobody says.
_CHANNELS = {"whatsapp": "whatsapp", "rcs": "rcs"}


class Command(console.Command):
    help = (
        "Add an operator: its own Celery queue, rate and workers. What has no option of its own is a setting of "
        "the transport: --set enquire_link_seconds=30 (smpp: see smpp_bind/accounts.py; http, whatsapp and rcs: see "
        "http_generic.py, whatsapp.py and rcs.py in routing/transports). RCS needs --set agent_id=…, --secret-file "
        "service_account=KEY.json and --secret client_token=…."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--update", action="store_true", help="change the operator that is there")
        parser.add_argument("--transport", choices=provisioning.TRANSPORTS)
        parser.add_argument(
            "--channel", choices=provisioning.CHANNELS, help="default: whatsapp's or rcs's own, else sms"
        )
        parser.add_argument("--name")
        parser.add_argument("--rate", type=float, metavar="PARTS_PER_SECOND", help="over all workers")
        parser.add_argument("--host")
        parser.add_argument("--port", type=int)
        parser.add_argument("--system-id")
        parser.add_argument("--password", help="kept sealed")
        parser.add_argument("--system-type")
        parser.add_argument("--bind", choices=("transceiver", "transmitter", "receiver", "pair"))
        parser.add_argument("--binds", type=int, help="how many binds a worker opens")
        parser.add_argument("--window", type=int, help="unanswered submits a bind")
        parser.add_argument("--tls", action="store_true", default=None)
        parser.add_argument("--tls-no-verify", action="store_true", help="do not check the certificate")
        parser.add_argument("--tls-ca-file")
        parser.add_argument("--url", help="of an HTTP operator")
        parser.add_argument(
            "--id-mode",
            choices=provisioning.ID_MODES,
            help="ids of receipts against answers; auto finds out (default)",
        )
        parser.add_argument(
            "--on-unknown-outcome",
            choices=Operator.UnknownOutcome.values,
            help="no answer to a submit: send again, or wait for a receipt",
        )
        parser.add_argument(
            "--set", "--setting", action="append", default=[], metavar="KEY=VALUE", help="again for more"
        )
        parser.add_argument(
            "--set-secret", "--secret", action="append", default=[], metavar="KEY=VALUE", help="kept sealed"
        )
        parser.add_argument(
            "--secret-file",
            action="append",
            default=[],
            metavar="KEY=PATH",
            help="a secret that is a file's text, as a key file's; kept sealed",
        )
        parser.add_argument("--inactive", action="store_true", help="route nothing to it yet")
        parser.add_argument("--active", action="store_true", help="with --update: route to it again")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            operator = provisioning.add_operator(wish=_wish(options), update=options["update"])
        except provisioning.ProvisioningError as error:
            raise CommandError(str(error)) from error
        shown = {
            "slug": operator.slug,
            "transport": operator.transport,
            "channel": operator.channel,
            "active": operator.active,
            "rate": operator.rate,
            "queue": operator.queue,
            "settings": operator.settings,
        }
        for kind in _INTAKES.get(operator.transport, ()):
            shown[kind] = f"/intake/{operator.slug}/{kind}"
        self.show(shown, options)


def _wish(options: dict[str, Any]) -> OperatorWish:
    given = {name: options[name] for name in _SETTINGS if options[name] is not None}
    if options["tls"]:
        given["tls"] = True
    if options["tls_no_verify"]:
        given["tls_verify"] = False
    secrets = dict(map(_pair, options["set_secret"]))
    secrets |= {name: _text_of(path) for name, path in map(_pair, options["secret_file"])}
    if options["password"] is not None:
        secrets["password"] = options["password"]
    active = {(True, False): False, (False, True): True}.get((options["inactive"], options["active"]))
    return OperatorWish(
        slug=options["slug"],
        transport=options["transport"],
        channel=options["channel"] or (None if options["update"] else _CHANNELS.get(options["transport"])),
        name=options["name"],
        rate=options["rate"],
        active=active,
        on_unknown_outcome=options["on_unknown_outcome"],
        id_mode=options["id_mode"],
        settings=given | _pairs(options["set"]),
        secrets=secrets,
    )


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"the file {path} cannot be read: {error}") from error


def _pairs(texts: list[str]) -> dict[str, Any]:
    """``KEY=VALUE`` texts; a value that is JSON (a number, true, null, an object) is taken as that."""
    pairs: dict[str, Any] = {}
    for name, value in map(_pair, texts):
        try:
            pairs[name] = json.loads(value)
        except RecursionError as error:
            raise CommandError(f"{name} is nested too deeply") from error
        except ValueError:
            pairs[name] = value
    return pairs


def _pair(text: str) -> tuple[str, str]:
    """The name and the value.

    Raises:
        CommandError: it is no pair. It is not shown: it may be a secret.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CommandError("what follows --set, --secret or --secret-file must be KEY=VALUE")
    return name, value
