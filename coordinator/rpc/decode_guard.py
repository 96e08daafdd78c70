"""Reject malformed protobuf messages with INVALID_ARGUMENT.

Without this module gRPC answers UNKNOWN with the text of a Python exception, and logs the
traceback. gRPC parses a message before it calls the handler, so the parser cannot answer itself. It
returns a mark instead, and the guarded handler answers when it finds the mark.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from taskmaster.coordinator.support.log_throttle import LogThrottle


class _Malformed:
    """Stand in for a message that could not be parsed."""


class DecodeGuard(grpc.aio.ServerInterceptor):
    """Parse the requests of every service, and answer INVALID_ARGUMENT if that fails."""

    def __init__(self) -> None:
        self._refusals = LogThrottle()
        self._guarded: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the method's handler, wrapped in a guard.

        The guarded handler is built once for each existing method.
        """
        method = handler_call_details.method
        guarded = self._guarded.get(method)
        if guarded is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            guarded = self._guarded[method] = self._guard(method, handler)
        return guarded

    def _guard(self, method: str, handler: Any) -> Any:
        """Return a handler of the same kind that checks each request before `handler` gets it.

        A method has one request or a stream of them, and one answer or a stream of them. gRPC has
        a constructor for each of the four kinds.
        """

        async def check(request: Any, context: Any) -> None:
            if request is _Malformed:
                self._refusals.warn("call refused: malformed message", method=method)
                await context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"{method}: the message is not valid protobuf.",
                )

        async def parsed(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
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
            return await handler.stream_unary(parsed(requests, context), context)

        async def many_to_many(requests: AsyncIterator[Any], context: Any) -> None:
            await _write(handler.stream_stream(parsed(requests, context), context), context)

        make, guard = {
            (False, False): (grpc.unary_unary_rpc_method_handler, one_to_one),
            (False, True): (grpc.unary_stream_rpc_method_handler, one_to_many),
            (True, False): (grpc.stream_unary_rpc_method_handler, many_to_one),
            (True, True): (grpc.stream_stream_rpc_method_handler, many_to_many),
        }[handler.request_streaming, handler.response_streaming]
        wrap: Callable[..., Any] = make
        return wrap(guard, _safe_parser(handler.request_deserializer), handler.response_serializer)


def _safe_parser(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Return a parser that returns `_Malformed` instead of raising DecodeError."""

    def read(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            return _Malformed

    return read


async def _write(answers: Any, context: Any) -> None:
    """Send the messages that a handler yields. Await a handler that writes them itself."""
    if not inspect.isasyncgen(answers):
        await answers
        return
    async with aclosing(answers):
        async for answer in answers:
            await context.write(answer)
