from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('routing', '0001_ledger'),
    ]

    # Null for what the release before wrote or writes: a message without a chain.
    operations = [
        migrations.AddField(
            model_name='delivery',
            name='step',
            field=models.SmallIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='part',
            name='step',
            field=models.SmallIntegerField(null=True),
        ),
    ]
