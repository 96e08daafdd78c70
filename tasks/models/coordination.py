"""Define the tables by which coordinators, submitters and web processes know of each other.

Coordinators write their capacity, the names that their workers know, and that they are idle; web
processes write what they display.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from taskmaster.tasks.registry import MAX_NAME


class QueueState(models.Model):
    """Store the capacity of one coordinator's workers for a queue.

    The queue '' represents all queues without a row of their own. Its row is also the coordinator's
    sign of life: the coordinator's rows are valid while `at` of that row is recent. Only
    coordinators write this table.
    """

    pk = models.CompositePrimaryKey("coordinator", "queue")
    coordinator = models.UUIDField()
    queue = models.CharField(max_length=64)
    workers = models.PositiveIntegerField(
        help_text="Workers that take tasks. Draining workers are not counted."
    )
    slots = models.PositiveIntegerField()
    free = models.PositiveIntegerField(
        help_text="Slots that are neither busy nor reserved for a task."
    )
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.queue or 'any queue'} {self.free}/{self.slots}"


class KnownNames(models.Model):
    """Store the task names that some workers of one coordinator know.

    A coordinator has one row for each combination of queues and names that its workers have.
    Draining workers are not counted. The rows are valid while those of `QueueState` are. Only
    coordinators write this table.
    """

    coordinator = models.UUIDField()
    queues = ArrayField(models.CharField(max_length=64), null=True, help_text="Null: every queue.")
    names = ArrayField(
        models.CharField(max_length=MAX_NAME),
        null=True,
        help_text="Null: the workers announced no names, and take every task.",
    )

    def __str__(self) -> str:
        return f"{self.coordinator} {self.names}"


class IdleCoordinator(models.Model):
    """Store an idle coordinator, which waits for a NOTIFY.

    A NOTIFY in every INSERT caps submission at 5,000/s. A NOTIFY only while a coordinator is idle
    costs a tenth. The order of steps has no race: a coordinator inserts its row, commits, and looks
    for work a last time before it waits. A submitter reads the table after its own commit.
    """

    coordinator = models.UUIDField(primary_key=True)

    def __str__(self) -> str:
        return str(self.coordinator)


class TaskSubscription(models.Model):
    """Store that a web process displays a task, valid until `until`.

    Coordinators never aggregate events of a watched task into counts. They notify the web processes
    of its new output.
    """

    pk = models.CompositePrimaryKey("task_id", "web")
    task_id = models.BigIntegerField()
    web = models.UUIDField()
    until = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.task_id)
