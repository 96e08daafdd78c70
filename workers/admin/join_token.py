"""Create, show and revoke join tokens in the admin. They cannot be changed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize
from django.template.response import TemplateResponse
from django.utils import timezone

from taskmaster.tasks.admin import show
from taskmaster.tasks.admin.model_admin import ModelAdmin, ModelForm
from taskmaster.tasks.errors import InvalidField, TaskMasterError
from taskmaster.workers.models import JoinToken
from taskmaster.workers.permissions import REVOKE_TOKEN
from taskmaster.workers.security import tokens

_FORM_FIELDS = {"uses": "uses_left"}


class NewTokenForm(ModelForm[JoinToken]):
    """Edit the values of a new token."""

    class Meta:
        model = JoinToken
        fields = ("name", "expires_at", "uses_left")

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                tokens.check(
                    cleaned["name"], expires_at=cleaned["expires_at"], uses=cleaned["uses_left"]
                )
            except InvalidField as error:
                field = _FORM_FIELDS.get(error.field, error.field)
                raise ValidationError({field: error.rule}) from None
        return cleaned


@admin.register(JoinToken)
class JoinTokenAdmin(ModelAdmin[JoinToken]):
    form = NewTokenForm
    list_display = ("name", "state", "uses_left", "creator", "created", "expires", "last_used")
    search_fields = ("name",)
    ordering = ("-created_at",)
    list_select_related = ("created_by",)
    list_per_page = 50
    fields = (
        "name",
        "state",
        "expires_at",
        "uses_left",
        "creator",
        "created",
        "last_used",
        "revoked",
    )
    actions = ("revoke_tokens",)

    created = show.moment("created_at")
    expires = show.moment("expires_at")
    last_used = show.moment("last_used_at")
    revoked = show.moment("revoked_at")

    class Media:
        css = {"all": show.STYLES}

    # ---- permissions ------------------------------------------------------------------------

    def has_change_permission(self, request: HttpRequest, obj: JoinToken | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: JoinToken | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may revoke tokens."""
        return request.user.has_perm(REVOKE_TOKEN)

    # ---- creation ---------------------------------------------------------------------------

    def get_fields(self, request: HttpRequest, obj: JoinToken | None = None) -> Any:
        return NewTokenForm.Meta.fields if obj is None else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: JoinToken | None = None) -> Any:
        return () if obj is None else self.fields

    def save_model(self, request: HttpRequest, obj: JoinToken, form: Any, change: bool) -> None:
        made = tokens.create(
            obj.name, expires_at=obj.expires_at, uses=obj.uses_left, by=request.user
        )
        obj.pk = made.row.pk
        # Available in the response to this request only.
        request.shown_once = made.secret  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: JoinToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the secret of the new token. It is not stored and cannot be shown again."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Join token {obj.name}",
            "token": obj,
            "secret": request.shown_once,  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "admin/taskmaster_workers/jointoken/made.html", context)

    # ---- list -------------------------------------------------------------------------------

    @admin.display(description="state")
    def state(self, token: JoinToken) -> str:
        if token.revoked_at is not None:
            return "revoked"
        if token.expires_at is not None and token.expires_at <= timezone.now():
            return "expired"
        return "used up" if token.uses_left == 0 else "valid"

    @admin.display(description="created by")
    def creator(self, token: JoinToken) -> str:
        return token.created_by.get_username() if token.created_by else "command line"

    @admin.action(
        description="Revoke, and disconnect the workers that joined with it", permissions=["revoke"]
    )
    def revoke_tokens(self, request: HttpRequest, chosen: QuerySet[JoinToken]) -> None:
        revoked = 0
        for token in chosen:
            try:
                tokens.revoke(token.name, by=request.user)
            except TaskMasterError as refusal:
                self.message_user(request, str(refusal), messages.WARNING)
            else:
                revoked += 1
        if revoked:
            self.message_user(request, f"{revoked} join token{pluralize(revoked)} revoked.")
