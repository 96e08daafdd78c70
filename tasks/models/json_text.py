"""Define the column of arguments and results: JSON that comes out as it went in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.db import models
from django.db.models.functions import Cast
from psycopg.types.json import Json

_dumps = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode


class JSONTextField(models.JSONField):
    """Store JSON in a `json` column, which keeps the text.

    `jsonb` would rewrite it: 1e16 becomes an integer, -0.0 becomes 0.0, 1e300 takes 301 digits, and
    the keys of an object change their order. A `text` column with a check would parse the text
    again at every change of the row; `json` parses it only when it is written.

    Values are selected as text, because psycopg would parse a `json` column itself. Lookups and
    transforms cast the column to `jsonb` and behave as those of JSONField. PostgreSQL has no
    equality for `json`, so the column cannot be part of DISTINCT, GROUP BY or ORDER BY.
    """

    def db_type(self, connection: Any) -> str:
        """Return the type of the column."""
        return "json"

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        """Select the column as text. `from_db_value` parses it."""
        return f"({sql})::text", params

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Parse the text. A RETURNING clause has no select format: its values are parsed."""
        if value is not None and not isinstance(value, str):
            return value
        return super().from_db_value(value, expression, connection)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """Return the parameter of a statement: JSON text of type `json`."""
        return Json(value, dumps=_dumps)

    def get_lookup(self, lookup_name: str) -> Any:
        """Return the lookup, on the column as jsonb."""
        lookup = super().get_lookup(lookup_name)
        if lookup is None or lookup_name == "isnull":
            return lookup
        return _on_jsonb(lookup)

    def get_transform(self, lookup_name: str) -> Any:
        """Return the transform, on the column as jsonb."""
        return _on_jsonb(super().get_transform(lookup_name))


def _on_jsonb(expression: Callable[..., Any]) -> Callable[..., Any]:
    """Return a factory of the expression whose first operand is cast to jsonb."""
    return lambda operand, *rest: expression(Cast(operand, models.JSONField()), *rest)
