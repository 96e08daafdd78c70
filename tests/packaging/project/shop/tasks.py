"""The project's only task."""

import django

if django.VERSION >= (6, 0):
    from django.tasks import task
else:
    from django_tasks import task


@task
def add(left: int, right: int) -> int:
    return left + right
