from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("routing", "0003_routing_in_full")]

    operations = [
        migrations.AddField(
            model_name="operator",
            name="id_evidence",
            field=models.JSONField(blank=True, default=dict, editable=False, db_default={}),
        ),
        migrations.AlterField(
            model_name="operator",
            name="id_mode_seen",
            field=models.CharField(blank=True, default="", max_length=64),
        ),
        # Operators that are there keep their mode.
        migrations.AlterField(
            model_name="operator",
            name="id_mode",
            field=models.CharField(default="auto", max_length=16),
        ),
    ]
