"""Test the actions of worker pools in the admin."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import RequestFactory
from django.utils.inspect import get_func_args

from taskmaster.workers.models import WorkerPool


@pytest.mark.django_db
def test_several_pools_cannot_be_deleted_in_one_action() -> None:
    request = RequestFactory().get("/")
    request.user = User.objects.create_superuser("eve")
    assert "delete_selected" not in admin.site.get_model_admin(WorkerPool).get_actions(request)


def test_the_actions_accept_the_location_that_newer_versions_of_django_pass() -> None:
    """Django 6.1 looks for the name of the parameter and warns without it."""
    for model_admin in admin.site._registry.values():
        overridden = type(model_admin).get_actions is not admin.ModelAdmin.get_actions
        assert not overridden or "action_location" in get_func_args(model_admin.get_actions)
