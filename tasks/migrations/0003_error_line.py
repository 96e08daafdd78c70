"""Add the error of a task in one line, for lists and searches.

PostgreSQL computes the column when a row is inserted and when `errors` changes. It inlines
`taskmaster_tasks_error_line`, so a task without an error costs one comparison.
"""

from django.db import migrations, models

#: `class: first line of the message`, at most 300 characters. A worker's message repeats the name of
#: the exception, which is left out. The message of an exit code and of a refusal by the coordinator
#: is clear without the class.
_TEXT = r"""
CREATE FUNCTION taskmaster_tasks_error_text(entry jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT left(COALESCE(label || COALESCE(': ' || message, ''), message, 'failed'), 300)
    FROM (
        SELECT
            regexp_replace(entry ->> 'exception', '^.*\.', '') AS name,
            split_part(ltrim(entry ->> 'message', E' \t\r\n'), E'\n', 1) AS line
    ) AS error
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN name <> '' THEN regexp_replace(entry ->> 'exception', '^builtins\.', '')
                WHEN entry ->> 'class' NOT IN ('raised', 'exit_code')
                    THEN replace(entry ->> 'class', '_', ' ')
            END AS label,
            NULLIF(
                CASE
                    WHEN starts_with(line || ': ', name || ': ') THEN substr(line, length(name) + 3)
                    ELSE line
                END,
                ''
            ) AS message
    ) AS part
)
"""
_LINE = """
CREATE FUNCTION taskmaster_tasks_error_line(errors jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN errors -> -1 IS NOT NULL THEN taskmaster_tasks_error_text(errors -> -1) END
"""
_TEXT_BACK = "DROP FUNCTION taskmaster_tasks_error_text(jsonb)"
_LINE_BACK = "DROP FUNCTION taskmaster_tasks_error_line(jsonb)"


class Migration(migrations.Migration):
    dependencies = [("taskmaster_tasks", "0002_storage")]

    operations = [
        migrations.RunSQL(_TEXT, _TEXT_BACK),
        migrations.RunSQL(_LINE, _LINE_BACK),
        migrations.AddField(
            "task",
            "error",
            models.GeneratedField(
                db_persist=True,
                expression=models.Func(
                    "errors",
                    function="taskmaster_tasks_error_line",
                    output_field=models.TextField(null=True),
                ),
                help_text="Class and first line of the message of the newest failed attempt.",
                output_field=models.TextField(null=True),
            ),
        ),
    ]
