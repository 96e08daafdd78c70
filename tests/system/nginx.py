"""Run a real nginx with the sample configuration, on its own ports."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from taskmaster.workers.security import certificates
from tests.system.fleet import ROOT, free_port
from tests.waiting import wait_until

#: Debian installs it outside an ordinary user's PATH.
BINARY = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
SAMPLE = ROOT / "deploy" / "nginx" / "taskmaster.conf"
_MAIN = """\
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    include /etc/nginx/mime.types;
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/taskmaster.conf;
}}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx: its ports, and a TLS context that trusts its certificate."""

    http: int
    https: int
    tls: ssl.SSLContext


@contextmanager
def running_nginx(folder: Path, web_port: int) -> Iterator[Nginx]:
    """Run nginx in front of the web process on this port. Only names in the sample are changed."""
    assert BINARY is not None
    made = certificates.write(folder / "certs", ["tasks.example.org"], days=1)
    http, https = free_port(), free_port()
    text = SAMPLE.read_text()
    for name, mine in (
        ("127.0.0.1:8000", f"127.0.0.1:{web_port}"),
        ("listen 80;", f"listen 127.0.0.1:{http};"),
        ("    listen [::]:80;\n", ""),
        ("    listen 443 ssl", f"    listen 127.0.0.1:{https} ssl"),
        ("    listen [::]:443 ssl http2;\n", ""),
        ("/etc/ssl/taskmaster/fullchain.pem", str(made.coordinator)),
        ("/etc/ssl/taskmaster/key.pem", str(made.coordinator_key)),
    ):
        assert text.count(name) == 1, name
        text = text.replace(name, mine)
    (folder / "taskmaster.conf").write_text(text)
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder))
    command = [BINARY, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: _answers(https), "nginx listens")
        yield Nginx(http, https, ssl.create_default_context(cafile=str(made.ca)))
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
