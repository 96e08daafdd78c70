"""Open the channel to a coordinator and interpret its refusals."""

from __future__ import annotations

import grpc

from taskmaster.workers.security.tls import WorkerTls

#: A broken connection is detected after the sum of both times. Coordinators permit such pings.
_OPTIONS = [
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # Use a separate connection. A connection shared with another channel may be in back-off.
    ("grpc.use_local_subchannel_pool", 1),
    # Offers are batched below 1 MB, but an offer with large arguments has its own message.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
]
#: Metadata of a call: pairs of name and value.
Metadata = tuple[tuple[str, str], ...]
#: Parts of the gRPC error messages about a failed or missing TLS handshake.
_HANDSHAKE = ("handshake failed", "Verification Check failed", "Socket closed")


def open_channel(address: str, access: WorkerTls) -> grpc.aio.Channel:
    """Open a channel to `host:port`. It uses TLS if the worker has a CA certificate."""
    if access.ca is None:
        return grpc.aio.insecure_channel(address, options=_OPTIONS)
    key, chain = (access.pair.key, access.pair.chain) if access.pair else (None, None)
    credentials = grpc.ssl_channel_credentials(access.ca, key, chain)
    return grpc.aio.secure_channel(address, credentials, options=_OPTIONS)


def metadata(access: WorkerTls) -> Metadata:
    """Return the metadata of each call: the join token, if there is one."""
    return (("authorization", f"Bearer {access.token}"),) if access.token else ()


def is_tls_failure(error: grpc.aio.AioRpcError) -> bool:
    """Return whether the peer answered but TLS failed, or is missing on one side."""
    details = error.details() or ""
    return error.code() == grpc.StatusCode.UNAVAILABLE and any(
        each in details for each in _HANDSHAKE
    )


def refusal(error: grpc.aio.AioRpcError) -> str | None:
    """Return why the coordinator permanently refuses this worker, or None for other errors."""
    if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
        return error.details()
    if error.code() == grpc.StatusCode.UNAUTHENTICATED:
        return (
            "the join token is invalid, revoked, expired or used up; set TASKMASTER_JOIN_TOKEN to "
            "a valid one."
        )
    return None
