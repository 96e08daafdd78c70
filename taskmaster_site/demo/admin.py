"""Create the admin user of `make demo`, and set a new password for `make password`.

python -m taskmaster.taskmaster_site.demo.admin
"""

from __future__ import annotations

import secrets
import sys

from taskmaster.taskmaster_site.demo.database import DemoDatabase, print_error

USER = "admin"


def create() -> str | None:
    """Create the admin user and return the password; return None if the user exists."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.hashers import make_password

    password = secrets.token_urlsafe(12)
    # If two demos start concurrently, only one creates the user.
    _, created = get_user_model().objects.get_or_create(
        username=USER,
        defaults={"is_staff": True, "is_superuser": True, "password": make_password(password)},
    )
    return password if created else None


def set_password() -> str:
    """Set a random password for the admin user and return it. Creates the user if needed."""
    from django.contrib.auth import get_user_model

    created = create()
    if created is not None:
        return created
    password = secrets.token_urlsafe(12)
    user = get_user_model().objects.get(username=USER)
    user.set_password(password)
    user.save(update_fields=["password"])
    return password


def main() -> int:
    """Set a new password and print it, whether or not the demo runs."""
    database = DemoDatabase()
    try:
        database.prepare()
        password = set_password()
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return print_error(error)
    finally:
        database.stop()
    print(f"user: {USER}\npassword: {password}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
