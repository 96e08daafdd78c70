"""A coordinator with TLS, and callers with a given token and certificate."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from tests.coordinator.rpc.intruder import Intruder, status
from tests.coordinator.rpc.watched import logged
from tests.system.programs import Program

DEADLINE_S = 20


@contextmanager
def secured(certs: Path, logs: Path, **extra: str) -> Iterator[tuple[str, Program]]:
    """Run a coordinator with the certificate in a folder. Yield its address and program."""
    environment = {
        "TASKMASTER_TLS_CERT": str(certs / "coordinator.pem"),
        "TASKMASTER_TLS_KEY": str(certs / "coordinator-key.pem"),
        **extra,
    }
    with logged(logs, **environment) as running:
        yield running


def channel(address: str, ca: Path, pair: tuple[Path, Path] | None = None) -> grpc.aio.Channel:
    """Open a channel over TLS, with or without a client certificate and its key."""
    chain, key = (each.read_bytes() for each in pair) if pair else (None, None)
    credentials = grpc.ssl_channel_credentials(ca.read_bytes(), key, chain)
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 60_000)]
    return grpc.aio.secure_channel(address, credentials, options=options)


class Guest(Intruder):
    """A worker that sends a given token, or none, with every call."""

    def __init__(self, opened: grpc.aio.Channel, token: str | None) -> None:
        super().__init__(opened)
        self.metadata = (("authorization", f"Bearer {token}"),) if token is not None else ()
        self.stub = _StubWithToken(rpc.WorkerServiceStub(opened), self)  # type: ignore[assignment]

    async def hello_status(self, **fields: Any) -> tuple[grpc.StatusCode, str]:
        """Say hello. Return the status and details of the call."""
        return await status(self.stub.ReceiveTasks(self.hello(**fields)))

    async def join(self) -> Any:
        """Register. Return the stream after its welcome."""
        stream = self.stub.ReceiveTasks(self.hello())
        async with asyncio.timeout(DEADLINE_S):
            assert (await stream.read()).WhichOneof("message") == "welcome"
        return stream


class _StubWithToken:
    """A stub whose calls carry the guest's metadata."""

    def __init__(self, stub: rpc.WorkerServiceStub, guest: Guest) -> None:
        self._stub = stub
        self._guest = guest

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._stub, name)

        def call(request: Any, **options: Any) -> Any:
            return method(request, metadata=self._guest.metadata, **options)

        return call


def every_call(guest: Guest) -> list[Any]:
    """Start one call of each kind, for this worker and for unknown ones."""
    return [
        guest.stub.ReceiveTasks(guest.hello()),
        guest.beat(),
        guest.beat(worker_id=str(uuid4())),
        guest.beat(worker_id="no uuid"),
        guest.update(),
        guest.stub.UpdateTaskStatus(pb.StatusUpdate(worker_id="no uuid"), timeout=DEADLINE_S),
    ]
