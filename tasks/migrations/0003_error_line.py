"""Add the error of a task in one line, for lists and searches.

PostgreSQL computes the column when `errors` changes, and only then. The function is inlined.
"""

from django.db import migrations, models

#: `class: first line of the message`, at most 300 characters. The message of an exit code and of a
#: refusal by the coordinator says enough without the class.
_LINE = r"""
CREATE FUNCTION taskmaster_tasks_error_line(errors jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN errors -> -1 IS NOT NULL THEN left(
    COALESCE(
        CASE
            WHEN errors -> -1 ->> 'exception' <> ''
                THEN regexp_replace(errors -> -1 ->> 'exception', '^builtins\.', '')
            WHEN errors -> -1 ->> 'class' NOT IN ('raised', 'exit_code')
                THEN replace(errors -> -1 ->> 'class', '_', ' ')
        END || COALESCE(
            ': ' || NULLIF(split_part(ltrim(errors -> -1 ->> 'message', E' \t\r\n'), E'\n', 1), ''),
            ''
        ),
        NULLIF(split_part(ltrim(errors -> -1 ->> 'message', E' \t\r\n'), E'\n', 1), ''),
        'failed'
    ),
    300
) END
"""
_LINE_BACK = "DROP FUNCTION taskmaster_tasks_error_line(jsonb)"


class Migration(migrations.Migration):
    dependencies = [("taskmaster_tasks", "0002_storage")]

    operations = [
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
