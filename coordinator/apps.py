"""Who decides: claims what is due and hands it to workers."""

from django.apps import AppConfig


class CoordinatorConfig(AppConfig):
    name = "coordinator"
    verbose_name = "Coordinators"
    default_auto_field = "django.db.models.BigAutoField"
