"""What is done to a pool from its card."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from taskmaster_site.pages.access import needs, toast
from tasks.errors import InvalidField, NotFound, TaskMasterError
from workers.permissions import SCALE
from workers.pools import operations


@require_POST
@needs(SCALE)
def scale(request: HttpRequest, name: str, count: int | None = None) -> HttpResponse:
    """There shall be so many: the number of the button's address, or the one that was typed."""
    wanted = _number(request.POST.get("count", "")) if count is None else count
    try:
        before = operations.find(name).desired
        pool = operations.scale(name, wanted, by=request.user.get_username())
    except TaskMasterError as refusal:
        status = 400 if isinstance(refusal, InvalidField) else 503
        status = 404 if isinstance(refusal, NotFound) else status
        return toast(request, str(refusal), ok=False, status=status)
    text = f"Pool {name} shall have {pool.desired} worker{'' if pool.desired == 1 else 's'}."
    back = ("Undo", reverse("pool-scale", args=[name, before])) if before != pool.desired else None
    return toast(request, text, undo=back)


def _number(text: str) -> object:
    """What was typed: a whole number, or the text for the rules to refuse."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else text
