"""An app with schedules, for the tests of declarations."""
