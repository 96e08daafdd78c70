"""Measure TaskMaster, each figure beside a reference of the same run."""
