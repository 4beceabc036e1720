"""The words that opt out, opt in and ask for help for every tenant, by language, and the replies to them.

English's begin with those that handsets' operators in North America demand (CTIA's Messaging Principles, section
5.1.3; 47 CFR 64.1200(a)(10)). Words are in capitals without accents. A word of two languages is the first one's.
"""

from typing import Final, NamedTuple

from gateway.models import Keyword

_Action = Keyword.Action


class _Language(NamedTuple):
    """Its words by what they do, and what is replied to them."""

    opt_out: tuple[str, ...]
    opt_in: tuple[str, ...]
    help: tuple[str, ...]
    opt_out_reply: str
    opt_in_reply: str
    help_reply: str


# Replies are of GSM 03.38's basic alphabet and one part each.
_ENGLISH = _Language(
    ("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"),
    ("START", "UNSTOP", "YES", "SUBSCRIBE", "OPTIN"),
    ("HELP", "INFO"),
    "You have been unsubscribed and will receive no more messages. Reply START to resubscribe.",
    "You have been resubscribed and will receive messages again. Reply STOP to unsubscribe.",
    "Reply STOP to unsubscribe, START to resubscribe. Message and data rates may apply.",
)
_FRENCH = _Language(
    ("ARRET", "ARRETER", "ARRETEZ", "DESABONNER", "DESINSCRIRE", "DESINSCRIPTION", "ANNULER"),
    ("DEMARRER", "REPRENDRE", "REABONNER", "ABONNER", "OUI"),
    ("AIDE",),
    "Votre désabonnement est pris en compte. Vous ne recevrez plus de messages. Répondez START pour reprendre.",
    "Votre abonnement reprend. Vous recevrez de nouveau nos messages. Répondez STOP pour vous désabonner.",
    "Répondez STOP pour vous désabonner, START pour vous réabonner. Tarif normal de votre opérateur.",
)
_SPANISH = _Language(
    ("BAJA", "ALTO", "PARAR", "CANCELAR", "SALIR", "DETENER"),
    ("ALTA", "EMPEZAR", "COMENZAR", "INICIAR", "REANUDAR", "SI"),
    ("AYUDA", "INFORMACION"),
    "Baja confirmada. Ya no le enviaremos mensajes. Responda START para volver a darse de alta.",
    "Alta confirmada. Volveremos a enviarle mensajes. Responda STOP para darse de baja.",
    "Responda STOP para darse de baja, START para darse de alta. Pueden aplicarse tarifas de su operador.",
)
_GERMAN = _Language(
    ("STOPP", "ABMELDEN", "ABBESTELLEN", "KUNDIGEN", "KUENDIGEN", "BEENDEN", "ENDE"),
    ("ANMELDEN", "STARTEN", "JA"),
    ("HILFE",),
    "Sie sind abgemeldet und erhalten keine Nachrichten mehr. Antworten Sie START, um sich wieder anzumelden.",
    "Sie sind wieder angemeldet und erhalten Nachrichten. Antworten Sie STOP, um sich abzumelden.",
    "Antworten Sie STOP, um sich abzumelden, START, um sich anzumelden. Es gelten die Preise Ihres Anbieters.",
)
_PORTUGUESE = _Language(
    ("SAIR", "PARE", "PARA", "REMOVER", "DESCADASTRAR", "CANCELE", "ENCERRAR"),
    ("VOLTAR", "COMECAR", "CADASTRAR", "SIM"),
    ("AJUDA", "INFORMACAO"),
    "Cancelamento confirmado. Deixaremos de lhe enviar mensagens. Responda START para voltar a receber.",
    "Voltaremos a enviar-lhe mensagens. Responda STOP para cancelar.",
    "Responda STOP para cancelar, START para voltar a receber. Podem aplicar-se as tarifas da sua operadora.",
)

# What the contract names comes first, as tenants have it in their lists.
_FIRST: Final = (
    *("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"),
    *("START", "UNSTOP", "YES"),
    *("HELP", "INFO"),
)
_LANGUAGES: Final = (_ENGLISH, _FRENCH, _SPANISH, _GERMAN, _PORTUGUESE)


def _each() -> dict[str, tuple[Keyword.Action, str]]:
    found: dict[str, tuple[Keyword.Action, str]] = {}
    for of in _LANGUAGES:
        for words, action, reply in (
            (of.opt_out, _Action.OPT_OUT, of.opt_out_reply),
            (of.opt_in, _Action.OPT_IN, of.opt_in_reply),
            (of.help, _Action.HELP, of.help_reply),
        ):
            for word in words:
                found.setdefault(word, (action, reply))
    return {word: found[word] for word in (*_FIRST, *found)}


_EACH: Final = _each()
BUILT_IN: Final[dict[str, Keyword.Action]] = {word: action for word, (action, _reply) in _EACH.items()}
REPLIES: Final[dict[str, str]] = {word: reply for word, (_action, reply) in _EACH.items()}
OPT_OUT_REPLY, OPT_IN_REPLY, HELP_REPLY = _ENGLISH.opt_out_reply, _ENGLISH.opt_in_reply, _ENGLISH.help_reply
