"""Build the images for the tests from this checkout."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.docker.engine import NoEngine, call
from tests.postgres_plugin import ROOT

BASE = "taskmaster-test-base"
POSTGRES = "taskmaster-test-postgres"
PGBOUNCER = "taskmaster-test-pgbouncer"
TASKMASTER = "taskmaster-test"
TASKMASTER_DOCKER = "taskmaster-test-docker"
_PUBLIC = "python:3.13-slim-bookworm"
_PACKAGES = "python3,python3-venv,ca-certificates"
_BUNDLE = "deploy/ca-bundle.crt"
#: Error messages of a machine without network access: not a fault of the images.
_NO_NETWORK = re.compile(
    r"Could not (resolve|connect)|Temporary failure|Name or service not known|Max retries exceeded"
    r"|[Cc]onnection (refused|reset|timed out)|unreachable|Couldn't download|Failed to fetch"
)


def build(environment: Mapping[str, str]) -> None:
    """Build all images. Raise NoEngine if no base image is available."""
    environment = dict(environment)
    if subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False).returncode:
        environment["DOCKER_BUILDKIT"] = "0"
    base = ["--build-arg", f"BASE_IMAGE={_base(environment)}"]
    with _authorities() as bundle:
        for target, tag in (
            ("taskmaster", TASKMASTER),
            ("taskmaster-docker", TASKMASTER_DOCKER),
            ("pgbouncer", PGBOUNCER),
        ):
            arguments = ["--file", "deploy/Dockerfile", "--target", target, *base, *bundle]
            _load(["docker", "build", "--tag", tag, *arguments, "."], environment)
    _load(["docker", "build", "--tag", POSTGRES, *base, "tests/docker"], environment)


def _load(argv: list[str], environment: Mapping[str, str]) -> None:
    """Run a command that fetches packages. Raise NoEngine without network access."""
    try:
        call(argv, environment, cwd=ROOT)
    except AssertionError as error:
        if found := _NO_NETWORK.search(str(error)):
            raise NoEngine(f"no packages can be fetched: {found[0]}") from error
        raise


def _base(environment: Mapping[str, str]) -> str:
    for image in (BASE, _PUBLIC):
        if _image_exists(["docker", "image", "inspect", image], environment):
            return image
    if _image_exists(["docker", "pull", "--quiet", _PUBLIC], environment):
        return _PUBLIC
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise NoEngine(f"{_PUBLIC} cannot be pulled, and building one needs root and debootstrap")
    root = ROOT / ".data" / "docker" / "base"
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    options = ["--variant=minbase", f"--include={_PACKAGES}"]
    _load(["debootstrap", *options, "bookworm", str(root)], environment)
    call(["bash", "-c", f"tar -C '{root}' -cf - . | docker import - {BASE}"], environment)
    shutil.rmtree(root)
    return BASE


def _image_exists(argv: list[str], environment: Mapping[str, str]) -> bool:
    with contextlib.suppress(AssertionError):
        call(argv, environment)
        return True
    return False


@contextlib.contextmanager
def _authorities() -> Iterator[list[str]]:
    """Provide this machine's additional certificate authorities during the build."""
    bundle = os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT")
    if not bundle or not Path(bundle).is_file():
        yield []
        return
    copy = ROOT / _BUNDLE
    shutil.copy(bundle, copy)
    try:
        yield ["--build-arg", f"CA_BUNDLE={_BUNDLE}"]
    finally:
        copy.unlink()
