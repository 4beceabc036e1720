"""What became of every message of a run: in the ledger, at the SMSC, at the listener."""

import time
from collections import Counter

import psycopg

# Lists in failure messages stop after so many.
SHOWN = 5
LOOK_SECONDS = 0.2
# The SMSC's record is written within 100 ms.
RECORD_SECONDS = 0.15

_WAITING = """
SELECT (SELECT count(*) FROM gateway_duemessage) AS messages, (SELECT count(*) FROM routing_delivery) AS deliveries,
       (SELECT count(*) FROM webhooks_duecallback WHERE endpoint = %s) AS callbacks
"""
_MESSAGES = (
    "SELECT id::text, client_message_id, status FROM gateway_message WHERE client_message_id = ANY(%s)"
)
_UNDONE = """
SELECT state, count(*) FROM webhooks_callback WHERE message_id = ANY(%s::uuid[]) AND state <> 'delivered'
GROUP BY state
"""
_EVENTS = """
SELECT type, occurred_at::text, operator_code, error_code FROM gateway_event
WHERE message_id = %s ORDER BY sequence, id
"""
_QUEUED = """
SELECT (SELECT row_to_json(d)::text FROM gateway_duemessage d WHERE message_id = %(id)s),
       (SELECT row_to_json(d)::text FROM routing_delivery d WHERE message_id = %(id)s),
       (SELECT row_to_json(c)::text FROM webhooks_callback c WHERE message_id = %(id)s),
       (SELECT row_to_json(d)::text FROM webhooks_duecallback d WHERE message_id = %(id)s)
"""


class Account:
    """Read it after :meth:`settle`.

    Attributes:
        seconds: how long it took until nothing moved any more.
        resubmitted: recipient → submits that the SMSC accepted beyond the first.
        called_again: webhook-id → arrivals beyond the first.
    """

    def __init__(self, stack, traffic):
        self.stack, self.traffic = stack, traffic
        self.wrong = []
        self.seconds = 0.0

    def settle(self, seconds):
        """Wait until every callback has arrived and nothing waits in any queue, then take stock."""
        began = time.monotonic()
        wanted = {
            f"client-{number}"
            for number in range(self.traffic.first, self.traffic.first + self.traffic.count)
        }
        while True:
            waiting = self._waiting()
            if waiting == (0, 0, 0) and wanted <= self.stack.listener.called().keys():
                break
            if time.monotonic() - began > seconds:
                self.wrong.append(
                    f"after {seconds:.0f} s (messages, deliveries, callbacks) {waiting} still wait"
                )
                break
            time.sleep(LOOK_SECONDS)
        self.seconds = time.monotonic() - began
        time.sleep(RECORD_SECONDS)
        self._take_stock(wanted)

    def assert_whole(self, *, resubmitted=0, called_again=0):
        """Nothing lost, nothing doubled beyond these bounds."""
        for words, found, bound in (
            ("submits were repeated", self.resubmitted, resubmitted),
            ("callbacks were repeated", self.called_again, called_again),
        ):
            if found.total() > bound:
                self.wrong.append(f"{found.total()} {words}, at most {bound} may be: {_some(found)}")
        print(self)
        if self.wrong:
            raise AssertionError("\n".join([*self.wrong, repr(self), self.stack.log_ends()]))

    def __repr__(self):
        return (
            f"{len(self.traffic.ids)} accepted, settled in {self.seconds:.1f} s, resubmitted"
            f" {self.resubmitted.total()}, called again {self.called_again.total()},"
            f" the API's troubles {dict(self.traffic.troubles)}"
        )

    def _waiting(self):
        try:
            return self.stack.sql(_WAITING, [self.stack.webhook_id])[0]
        except psycopg.Error as error:
            return repr(error)

    def _take_stock(self, wanted):
        ids = self.traffic.ids
        self._note("were not accepted", wanted - ids.keys())
        self._note("got two ids", [key for key in ids if len(ids[key]) > 1])
        self._note_ledger(wanted, {key for several in ids.values() for key in several})
        called = self.stack.listener.called()
        self._note("have no callback", self._described(key for key in wanted if not called.get(key)))
        self._note("have callbacks of several ids", [key for key in wanted if len(called.get(key, ())) > 1])
        self.called_again = Counter(
            {name: times - 1 for key in wanted for name, times in called.get(key, {}).items() if times > 1}
        )
        refused = self.stack.listener.received.refused
        self._note("callbacks had a wrong signature", [""] * refused)
        submits = Counter(self.stack.smsc.submits())
        recipients = self.traffic.recipients
        self._note("never reached the SMSC", [each for each in recipients if not submits[each]])
        self.resubmitted = Counter({each: submits[each] - 1 for each in recipients if submits[each] > 1})

    def _note_ledger(self, wanted, answered):
        rows = self.stack.sql(_MESSAGES, [list(wanted)])
        self._note(
            "are in the ledger twice", [key for key, n in Counter(row[1] for row in rows).items() if n > 1]
        )
        self._note("got a 200 and are not in the ledger", answered - {row[0] for row in rows})
        undelivered = [(row[1], row[0], row[2]) for row in rows if row[2] != "delivered"]
        if undelivered:
            shown = "\n".join(
                self._story(key, message_id) for key, message_id, _status in undelivered[:SHOWN]
            )
            by_status = dict(Counter(status for _key, _id, status in undelivered))
            self.wrong.append(f"{len(undelivered)} messages are not delivered {by_status}:\n{shown}")
        undone = self.stack.sql(_UNDONE, [[row[0] for row in rows]])
        if undone:
            self.wrong.append(f"callbacks that are not done: {dict(undone)}")

    def _described(self, keys):
        """Keys with their stories, as many as are shown."""
        keys = list(keys)
        rows = self.stack.sql(_MESSAGES, [keys[:SHOWN]]) if keys else []
        return [self._story(key, message_id) for message_id, key, _status in rows] + keys[len(rows) :]

    def _story(self, key, message_id):
        events = [" ".join(filter(None, event)) for event in self.stack.sql(_EVENTS, [message_id])]
        with psycopg.connect(self.stack.database_url) as connection:
            queued = connection.execute(_QUEUED, {"id": message_id}).fetchone()
        return f"  {key} {message_id}: {' | '.join(events)}; due, delivery, callback, due callback: {queued}"

    def _note(self, words, found):
        if found:
            self.wrong.append(f"{len(found)} messages {words}: {_some(found)}")


def _some(found):
    """The first few, in order."""
    shown = sorted(found)[:SHOWN]
    return ", ".join(map(str, shown)) + (" …" if len(found) > SHOWN else "")
