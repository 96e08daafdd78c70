"""Configure drf-spectacular for the API, in place of the project's SPECTACULAR_SETTINGS."""

from __future__ import annotations

from typing import Any

from taskmaster import __version__

SETTINGS: dict[str, Any] = {
    "TITLE": "TaskMaster",
    "DESCRIPTION": (
        "Submit tasks, read their status and results, cancel and retry them, run them on "
        "schedules, and manage workers and worker pools."
    ),
    "VERSION": __version__,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": None,
    "PREPROCESSING_HOOKS": [],
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums"],
    # Events and runs of schedules have a field `kind` too.
    "ENUM_NAME_OVERRIDES": {"PauseKindEnum": "taskmaster.tasks.models.pause.KINDS"},
}
