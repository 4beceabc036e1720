from django.db import models


class OperatorTemplate(models.Model):
    """A template as an operator (WhatsApp) has it: synchronised, never written here."""

    operator_id = models.IntegerField()
    name = models.TextField()
    language = models.TextField()
    category = models.TextField(blank=True)
    status = models.TextField()
    remote_id = models.TextField(blank=True)
    components = models.JSONField(default=list)
    synchronised_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["operator_id", "name", "language"], name="operator_template_once")
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.language})"
