"""Send heartbeats at a given rate, as a worker in a process of its own.

python -m tests.coordinator.rpc.flood ADDRESS RATE SECONDS

Prints how many calls ended with each gRPC status, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from uuid import uuid4

import grpc

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc


async def flood(address: str, rate: float, seconds: float) -> Counter[str]:
    """Send the heartbeats. Return how many calls ended with each status."""
    counts: Counter[str] = Counter()
    worker_id = str(uuid4())
    beat = pb.Heartbeat(worker_id=worker_id, slots=1)

    async def call(stub: rpc.WorkerServiceAsyncStub) -> None:
        try:
            reply = await stub.SendHeartbeat(beat, timeout=10)
        except grpc.aio.AioRpcError as error:
            counts[error.code().name] += 1
        else:
            counts["unknown" if reply.unknown_worker else "OK"] += 1

    async with grpc.aio.insecure_channel(address) as channel:
        stub = rpc.WorkerServiceStub(channel)
        hello = pb.WorkerHello(
            worker_id=worker_id, name="flood", host="h", executor="async", slots=1, protocol=1
        )
        stream = stub.ReceiveTasks(hello)
        await stream.read()
        began = time.monotonic()
        # It takes no tasks, so that only its heartbeats can disturb others.
        beat.draining = True
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                group.create_task(call(stub))
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        stream.cancel()
    return counts


if __name__ == "__main__":
    print(json.dumps(asyncio.run(flood(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))))
