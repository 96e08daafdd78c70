"""Provide Django's classes for the admin: with type parameters at run time, and read-only.

Only Django's type stubs declare these classes as generic. `ModelAdmin[Task]` fails at run time
unless Django is patched, and an app must not patch Django. The subclasses here ignore the
parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.core.paginator import Paginator
    from django.forms import ModelForm
else:
    from django.contrib import admin
    from django.core import paginator
    from django.forms import models

    class _Generic:
        def __class_getitem__(cls, _):
            return cls

    class ModelAdmin(_Generic, admin.ModelAdmin):
        """Accept a type parameter, and require the permission to view for changing and deleting.

        In Django's admin, the permission to change implies that to view.
        """

        def has_view_permission(self, request, obj=None):
            return request.user.has_perm(f"{self.opts.app_label}.view_{self.opts.model_name}")

        def has_change_permission(self, request, obj=None):
            allowed = super().has_change_permission(request, obj)
            return allowed and self.has_view_permission(request, obj)

        def has_delete_permission(self, request, obj=None):
            allowed = super().has_delete_permission(request, obj)
            return allowed and self.has_view_permission(request, obj)

    class ModelForm(_Generic, models.ModelForm):
        """Accept a type parameter."""

    class Paginator(_Generic, paginator.Paginator):
        """Accept a type parameter."""


class ReadOnly:
    """Deny adding, changing and deleting. A mixin for ModelAdmin."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


__all__ = ["ModelAdmin", "ModelForm", "Paginator", "ReadOnly"]
