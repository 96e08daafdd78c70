"""Create, change, scale and delete pools in the admin, through `workers.pools.operations`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString

from taskmaster.tasks.admin import show
from taskmaster.tasks.admin.model_admin import ModelAdmin, ModelForm
from taskmaster.tasks.errors import InvalidField, TaskMasterError
from taskmaster.workers.models import WorkerPool
from taskmaster.workers.permissions import SCALE, SET_ENVIRONMENT
from taskmaster.workers.pools import operations, validation


class PoolForm(ModelForm[WorkerPool]):
    """Edit the fields of a pool with the validation of REST. Secrets are not shown again."""

    class Meta:
        model = WorkerPool
        fields = validation.FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["environment"] = validation.shown(self.instance.environment)

    def clean(self) -> dict[str, Any]:
        """Validate the fields and attach each error to its field."""
        fields = super().clean() or {}
        if self.errors:
            return fields
        try:
            validation.parse(fields)
            bounds = (
                fields.get(name, getattr(self.instance, name))
                for name in ("minimum", "desired", "maximum")
            )
            validation.check_bounds(*bounds)
        except InvalidField as error:
            name = error.field.partition(".")[0]
            self.add_error(name if name in self.fields else None, error.rule)
        return fields


@admin.register(WorkerPool)
class PoolAdmin(ModelAdmin[WorkerPool]):
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
        (None, {"fields": validation.FIELDS}),
        ("Observed state", {"fields": found}),
    )
    actions = ("one_more", "one_fewer", "to_minimum")

    looked_at = show.moment("reconciled_at")
    scaled = show.moment("scaled_at")

    class Media:
        css = {"all": show.STYLES}

    @admin.display(description="last log lines of a dead worker")
    def log(self, pool: WorkerPool) -> SafeString | str:
        return format_html("<pre>{}</pre>", pool.last_log) if pool.last_log else "–"

    @admin.display(description="environment")
    def variables(self, pool: WorkerPool) -> str:
        return json.dumps(validation.shown(pool.environment))

    def get_fieldsets(self, request: HttpRequest, obj: WorkerPool | None = None) -> Any:
        """Show the environment without secrets to a user who may not change it.

        Read-only fields do not pass through the form, which hides the secrets for other users.
        """
        if self._may_set_environment(request, obj):
            return self.fieldsets
        fields = ["variables" if name == "environment" else name for name in validation.FIELDS]
        return ((None, {"fields": fields}), *self.fieldsets[1:])

    def _may_set_environment(self, request: HttpRequest, obj: WorkerPool | None) -> bool:
        return request.user.has_perm(SET_ENVIRONMENT) and (
            obj is None or self.has_change_permission(request, obj)
        )

    def get_readonly_fields(self, request: HttpRequest, obj: WorkerPool | None = None) -> Any:
        """Return the fields that the user may not change, by the rules of REST."""
        fields = [*self.found]
        if obj:
            fields.append("name")
        if not self._may_set_environment(request, obj):
            fields.append("variables")
        if not self.has_scale_permission(request):
            fields += ["desired"] if obj else ["desired", "minimum"]
        return fields

    def save_model(self, request: HttpRequest, obj: WorkerPool, form: Any, change: bool) -> None:
        """Save through the operations, which publish the change and wake the reconciler."""
        fields = {
            name: form.cleaned_data[name] for name in validation.FIELDS if name in form.changed_data
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

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> Any:
        """Remove the action that deletes several pools.

        The admin would report success even for a pool whose deletion was refused. Django 6.1 and
        newer pass the location.
        """
        given = () if action_location is None else (action_location,)
        actions = super().get_actions(request, *given)
        actions.pop("delete_selected", None)
        return actions

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the page. If the request is refused, show it again with the reason."""
        view = partial(super().changeform_view, request, object_id, form_url, extra_context)
        return self._unless_refused(request, view)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the delete page. If the deletion is refused, show it again with the reason."""
        view = partial(super().delete_view, request, object_id, extra_context)
        return self._unless_refused(request, view)

    def _unless_refused(
        self, request: HttpRequest, view: Callable[[], HttpResponse]
    ) -> HttpResponse:
        try:
            return view()
        except TaskMasterError as refusal:
            # The form cannot detect errors of the provider or concurrent changes.
            self.message_user(request, f"Nothing was changed: {refusal}", messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def has_scale_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may scale pools."""
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
        new_count: Callable[[WorkerPool], int],
    ) -> None:
        by = request.user.get_username()
        for pool in pools:
            count = new_count(pool)
            try:
                operations.scale(pool.name, count, by=by)
            except TaskMasterError as refusal:
                self.message_user(request, str(refusal), messages.WARNING)
            else:
                self.message_user(request, f"Pool {pool.name} scaled to {count} workers.")
