"""Handle the buttons of a pool's card."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from taskmaster.taskmaster_site.pages.permissions import needs
from taskmaster.taskmaster_site.pages.responses import toast
from taskmaster.tasks.errors import InvalidField, NotFound, TaskMasterError
from taskmaster.workers.permissions import SCALE, VIEW
from taskmaster.workers.pools import operations


@require_POST
@needs(VIEW, SCALE)
def scale(request: HttpRequest, name: str, count: int | None = None) -> HttpResponse:
    """Set the desired number of workers, from the URL or from the form field `count`."""
    requested = _number(request.POST.get("count", "")) if count is None else count
    try:
        previous = operations.find(name).desired
        pool = operations.scale(name, requested, by=request.user.get_username())
    except TaskMasterError as error:
        status = 400 if isinstance(error, InvalidField) else 503
        status = 404 if isinstance(error, NotFound) else status
        return toast(request, str(error), ok=False, status=status)
    text = f"Pool {name} scaled to {pool.desired} worker{'' if pool.desired == 1 else 's'}."
    undo_url = reverse("taskmaster:pool-scale", args=[name, previous])
    return toast(request, text, undo=("Undo", undo_url) if previous != pool.desired else None)


def _number(text: str) -> object:
    """Return the text as an int. Return other text unchanged, so that validation rejects it."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else text
