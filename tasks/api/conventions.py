"""Define the settings of every API view, independent of the project's settings for DRF."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import models
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import extend_schema as _extend_schema
from rest_framework import ISO_8601, serializers
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.metadata import SimpleMetadata
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer

from taskmaster.tasks.api.errors import exception_handler
from taskmaster.tasks.api.parsers import JSONParser

Method = TypeVar("Method", bound=Callable[..., Any])


class ApiConventions:
    """Set the conventions of every API view. A mixin, listed before DRF's class."""

    authentication_classes: Any = [TokenAuthentication, SessionAuthentication]
    permission_classes: Any = [IsAuthenticated]
    renderer_classes: Any = [JSONRenderer]
    parser_classes: Any = [JSONParser]
    throttle_classes: Any = []
    content_negotiation_class: Any = DefaultContentNegotiation
    metadata_class: Any = SimpleMetadata
    versioning_class: Any = None
    filter_backends: Any = []
    pagination_class: Any = None
    schema: Any = AutoSchema()

    def get_exception_handler(self) -> Callable[..., Any]:
        """Return the handler that answers every error with problem details."""
        return exception_handler


class IsoDateTimeField(serializers.DateTimeField):
    """Format times as ISO 8601, independent of the setting DATETIME_FORMAT."""

    def __init__(self, **options: Any) -> None:
        super().__init__(format=ISO_8601, **options)


class IsoTimes:
    """Format the times of a model as ISO 8601. A mixin for ModelSerializer."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DateTimeField: IsoDateTimeField,
    }


def extend_schema(**description: Any) -> Callable[[Method], Method]:
    """Describe a view method for the schema.

    drf-spectacular's decorator of this name extends the class of DEFAULT_SCHEMA_CLASS, which a
    project may have changed.
    """

    def decorate(method: Method) -> Method:
        method.kwargs = {"schema": AutoSchema}  # type: ignore[attr-defined]
        decorated: Method = _extend_schema(**description)(method)
        return decorated

    return decorate
