"""Test TaskMaster installed from its wheel as part of another Django project."""
