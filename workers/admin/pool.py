"""Pools in the admin: made, changed and scaled by the same operations as everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tasks.admin import show
from tasks.errors import InvalidField, TaskMasterError
from workers.models import WorkerPool
from workers.permissions import SCALE
from workers.pools import operations, rules


class PoolForm(forms.ModelForm[WorkerPool]):
    """The fields of a pool, by the rules of REST; what is secret is not shown again."""

    class Meta:
        model = WorkerPool
        fields = rules.FIELDS

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
        (None, {"fields": rules.FIELDS}),
        ("What was found last", {"fields": found}),
    )
    actions = ("one_more", "one_fewer", "to_minimum")

    looked_at = show.moment("reconciled_at")
    scaled = show.moment("scaled_at")

    @admin.display(description="last lines of a worker that died")
    def log(self, pool: WorkerPool) -> SafeString | str:
        return format_html("<pre>{}</pre>", pool.last_log) if pool.last_log else "–"

    @admin.display(description="environment")
    def variables(self, pool: WorkerPool) -> str:
        return json.dumps(rules.shown(pool.environment))

    def get_fieldsets(self, request: HttpRequest, obj: WorkerPool | None = None) -> Any:
        """What may only be looked at does not come through the form, which hides secrets."""
        if obj is None or self.has_change_permission(request, obj):
            return self.fieldsets
        fields = ["variables" if name == "environment" else name for name in rules.FIELDS]
        return ((None, {"fields": fields}), *self.fieldsets[1:])

    def get_readonly_fields(self, request: HttpRequest, obj: WorkerPool | None = None) -> Any:
        return (*self.found, "name") if obj else self.found

    def save_model(self, request: HttpRequest, obj: WorkerPool, form: Any, change: bool) -> None:
        """Not by the form's own way: the change is told, and the reconciler woken."""
        fields = {
            name: form.cleaned_data[name] for name in rules.FIELDS if name in form.changed_data
        }
        by = request.user.get_username()
        saved = (
            operations.change(obj.name, fields, by=by)
            if change
            else operations.create({"name": obj.name, **fields}, by=by)
        )
        obj.pk = saved.pk

    def delete_model(self, request: HttpRequest, obj: WorkerPool) -> None:
        operations.delete(obj.name, by=request.user.get_username())

    def get_actions(self, request: HttpRequest) -> Any:
        """Not the deletion of many, which the admin calls done whatever became of it."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The page; again, with the reason, when what was sent is refused."""
        view = partial(super().changeform_view, request, object_id, form_url, extra_context)
        return self._unless_refused(request, view)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The same for its end."""
        view = partial(super().delete_view, request, object_id, extra_context)
        return self._unless_refused(request, view)

    def _unless_refused(
        self, request: HttpRequest, view: Callable[[], HttpResponse]
    ) -> HttpResponse:
        try:
            return view()
        except TaskMasterError as refusal:
            # What the form could not know: the provider, and what others did meanwhile.
            self.message_user(request, f"Nothing was changed: {refusal}", messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

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
            try:
                operations.scale(pool.name, wanted, by=by)
            except TaskMasterError as refusal:
                self.message_user(request, str(refusal), messages.WARNING)
            else:
                self.message_user(request, f"Pool {pool.name} shall have {wanted} workers.")
