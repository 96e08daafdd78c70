"""Run the PostgreSQL server that is part of the package, without root and without a service."""
