"""Bytes that are no message are refused like any other bad input.

Left to itself gRPC answers UNKNOWN with the text of a Python exception, and logs its traceback.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from coordinator.refusals import Refusals


class _Unreadable:
    """Stands for a message that could not be read."""


class Parsing(grpc.aio.ServerInterceptor):
    """Reads the requests of every service, and answers INVALID_ARGUMENT where that fails."""

    def __init__(self) -> None:
        self._refusals = Refusals()
        self._guarded: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler with a guard before it, made once for each method that exists."""
        method = handler_call_details.method
        guarded = self._guarded.get(method)
        if guarded is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            guarded = self._guarded[method] = self._guard(method, handler)
        return guarded

    def _guard(self, method: str, handler: Any) -> Any:
        async def check(request: Any, context: Any) -> None:
            if request is _Unreadable:
                self._refusals.note("call refused: its message is malformed", method=method)
                await context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT, f"{method}: the message cannot be read."
                )

        async def readable(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            async for request in requests:
                await check(request, context)
                yield request

        async def one_to_one(request: Any, context: Any) -> Any:
            await check(request, context)
            return await handler.unary_unary(request, context)

        async def one_to_many(request: Any, context: Any) -> None:
            await check(request, context)
            await _write(handler.unary_stream(request, context), context)

        async def many_to_one(requests: AsyncIterator[Any], context: Any) -> Any:
            return await handler.stream_unary(readable(requests, context), context)

        async def many_to_many(requests: AsyncIterator[Any], context: Any) -> None:
            await _write(handler.stream_stream(readable(requests, context), context), context)

        make, guard = {
            (False, False): (grpc.unary_unary_rpc_method_handler, one_to_one),
            (False, True): (grpc.unary_stream_rpc_method_handler, one_to_many),
            (True, False): (grpc.stream_unary_rpc_method_handler, many_to_one),
            (True, True): (grpc.stream_stream_rpc_method_handler, many_to_many),
        }[handler.request_streaming, handler.response_streaming]
        wrap: Callable[..., Any] = make
        return wrap(guard, _reader(handler.request_deserializer), handler.response_serializer)


def _reader(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            return _Unreadable

    return read


async def _write(answers: Any, context: Any) -> None:
    """Sends what a handler yields; one that writes by itself is awaited."""
    if not inspect.isasyncgen(answers):
        await answers
        return
    async with aclosing(answers):
        async for answer in answers:
            await context.write(answer)
