"""Use the features of the base installation, mainly the admin pages, in `manage.py shell`.

Enqueues a task, creates a join token, opens each list and add form, begins a bulk operation. Prints
{"enqueued": status, "pages": {url: status}, "operation": [status, status]} as JSON.
"""

from __future__ import annotations

import json

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from shop.tasks import add

from taskmaster.workers.security import tokens

result = add.enqueue(1, 2)
tokens.create("rack-7")
client = Client()
client.force_login(get_user_model().objects.create_superuser("root", "", "root"))
pages = {}
for model in admin.site._registry:
    label = model._meta.app_label
    if label.startswith("taskmaster"):
        for page in ("changelist", "add"):
            url = reverse(f"admin:{label}_{model._meta.model_name}_{page}")
            pages[url] = client.get(url).status_code
begun = client.post(
    reverse("admin:taskmaster_tasks_task_changelist") + "?queue=default",
    {"action": "cancel", "select_across": "1", "_selected_action": [result.id]},
)
shown = client.get(begun.headers["Location"])
print(
    json.dumps(
        {
            "enqueued": result.status,
            "pages": pages,
            "operation": [begun.status_code, shown.status_code],
        }
    )
)
