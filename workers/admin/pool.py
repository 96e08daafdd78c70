"""Pools in the admin: made, changed and scaled by the same operations as everywhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tasks.admin import show
from tasks.errors import InvalidField, TaskMasterError
from workers.models import WorkerPool
from workers.permissions import SCALE
from workers.pools import operations, rules

_FIELDS = (
    "name",
    "provider",
    "desired",
    "minimum",
    "maximum",
    "concurrency",
    "kind",
    "queues",
    "environment",
    "stop_limit_s",
    "autoscale",
    "target_wait_s",
    "cool_down_s",
)


class PoolForm(forms.ModelForm[WorkerPool]):
    """The fields of a pool, by the rules of REST; what is secret is not shown again."""

    class Meta:
        model = WorkerPool
        fields = _FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["environment"] = rules.shown(self.instance.environment)

    def clean(self) -> dict[str, Any]:
        """Says at the field what is wrong with it."""
        fields = super().clean() or {}
        if self.errors:
            return fields
        try:
            rules.parse(fields)
            rules.check_bounds(fields["minimum"], fields["desired"], fields["maximum"])
        except InvalidField as error:
            name = error.field.partition(".")[0]
            self.add_error(name if name in self.fields else None, error.rule)
        return fields


@admin.register(WorkerPool)
class PoolAdmin(admin.ModelAdmin[WorkerPool]):
    form = PoolForm
    list_display = (
        "name", "provider", "desired", "actual", "registered", "draining", "state", "error",
        "looked_at",
    )  # fmt: skip
    list_filter = ("provider", "state")
    search_fields = ("name",)
    found = (
        "actual", "registered", "draining", "state", "error", "log", "failures", "looked_at",
        "scaled",
    )  # fmt: skip
    readonly_fields = found
    fieldsets = (
        (None, {"fields": _FIELDS}),
        ("What was found last", {"fields": found}),
    )
    actions = ("one_more", "one_fewer", "to_minimum")

    looked_at = show.moment("reconciled_at")
    scaled = show.moment("scaled_at")

    @admin.display(description="last lines of a worker that died")
    def log(self, pool: WorkerPool) -> SafeString | str:
        return format_html("<pre>{}</pre>", pool.last_log) if pool.last_log else "–"

    def get_readonly_fields(self, request: HttpRequest, obj: WorkerPool | None = None) -> Any:
        return (*self.found, "name") if obj else self.found

    def save_model(self, request: HttpRequest, obj: WorkerPool, form: Any, change: bool) -> None:
        """Not by the form's own way: the change is told, and the reconciler woken."""
        fields = {name: form.cleaned_data[name] for name in _FIELDS if name in form.changed_data}
        by = request.user.get_username()
        try:
            saved = (
                operations.change(obj.name, fields, by=by)
                if change
                else operations.create({"name": obj.name, **fields}, by=by)
            )
        except TaskMasterError as refusal:
            # What the form could not know: the provider, and what others did meanwhile.
            self.message_user(request, f"Nothing was changed: {refusal}", messages.ERROR)
            return
        obj.pk = saved.pk

    def delete_model(self, request: HttpRequest, obj: WorkerPool) -> None:
        by = request.user.get_username()
        self._try(request, partial(operations.delete, obj.name, by=by))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[WorkerPool]) -> None:
        for pool in queryset:
            self.delete_model(request, pool)

    def has_scale_permission(self, request: HttpRequest) -> bool:
        """Whether the user may scale pools."""
        return request.user.has_perm(SCALE)

    @admin.action(description="One worker more", permissions=["scale"])
    def one_more(self, request: HttpRequest, pools: QuerySet[WorkerPool]) -> None:
        self._scale(request, pools, lambda pool: pool.desired + 1)

    @admin.action(description="One worker fewer", permissions=["scale"])
    def one_fewer(self, request: HttpRequest, pools: QuerySet[WorkerPool]) -> None:
        self._scale(request, pools, lambda pool: pool.desired - 1)

    @admin.action(description="Scale to the minimum", permissions=["scale"])
    def to_minimum(self, request: HttpRequest, pools: QuerySet[WorkerPool]) -> None:
        self._scale(request, pools, lambda pool: pool.minimum)

    def _scale(
        self,
        request: HttpRequest,
        pools: QuerySet[WorkerPool],
        count: Callable[[WorkerPool], int],
    ) -> None:
        by = request.user.get_username()
        for pool in pools:
            wanted = count(pool)
            if self._try(request, partial(operations.scale, pool.name, wanted, by=by)):
                self.message_user(request, f"Pool {pool.name} shall have {wanted} workers.")

    def _try(self, request: HttpRequest, change: Callable[[], object]) -> bool:
        try:
            change()
        except TaskMasterError as refusal:
            self.message_user(request, str(refusal), messages.WARNING)
            return False
        return True
