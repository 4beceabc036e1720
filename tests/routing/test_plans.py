"""What relays and workers tell their connections."""

import pytest
from django.db import connection
from django.db.backends.signals import connection_created

from config import plans


@pytest.fixture
def kept():
    plans.keep_to_indexes()
    connection.close()
    yield
    connection_created.disconnect(dispatch_uid="config.plans")
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_it_reads_a_queue_that_was_empty_by_its_index(kept):
    statement = "SELECT count(*) FROM webhooks_duecallback WHERE callback_id = ANY(%s::uuid[])"
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE webhooks_duecallback")
        cursor.execute(f"EXPLAIN {statement}", [[]])
        plan = " ".join(line for (line,) in cursor.fetchall())
    assert "Seq Scan" not in plan
    assert "Index" in plan
