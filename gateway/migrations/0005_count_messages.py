from django.db import migrations

# Whatever was counted before is counted again: the lock that TRUNCATE waits for lets every statement that writes a
# status finish, with what it counted, and holds back the next one until these counts are there.
COUNT = """
INSERT INTO gateway_tally (tenant_id, at, channel, country, operator, measure, value, error_code, count)
SELECT tenant_id,
       CASE WHEN created_at < date_trunc('hour', now()) - interval '48 hours'
            THEN date_trunc('hour', created_at) ELSE date_trunc('minute', created_at) END,
       channel, coalesce(country, ''),
       CASE WHEN status IN ('scheduled', 'accepted', 'queued', 'sending') THEN '' ELSE coalesce(operator, '') END,
       0,
       CASE WHEN status IN ('scheduled', 'accepted', 'queued', 'sending') THEN 'accepted' ELSE status END,
       CASE WHEN status IN ('failed', 'expired', 'rejected', 'canceled') THEN coalesce(error_code, '') ELSE '' END,
       count(*)
FROM gateway_message
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""


class Migration(migrations.Migration):

    dependencies = [
        ('gateway', '0004_the_whole_api'),
    ]

    operations = [
        migrations.RunSQL(
            ["TRUNCATE gateway_tallydelta, gateway_tally", COUNT],
            migrations.RunSQL.noop,
        ),
    ]
