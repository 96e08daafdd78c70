"""Configure the tests that need a cluster; `make test-k8s` runs them, `make test` does not."""

from __future__ import annotations

import os

if not os.environ.get("TASKMASTER_TEST_K8S"):
    collect_ignore_glob = ["test_*.py"]
