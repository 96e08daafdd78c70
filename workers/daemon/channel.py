"""The channel to a coordinator, and what each call on it carries."""

from __future__ import annotations

import grpc

from workers.joining.tls import Access

#: A cut connection is noticed after the sum of the two; the coordinators permit such pings.
_OPTIONS = [
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A connection of its own, not one that another channel of the process has open or in back-off.
    ("grpc.use_local_subchannel_pool", 1),
    # Offers travel below 1 MB, but one with arguments up to the limit travels alone.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
]
#: How gRPC says that the two ends did not understand each other.
_HANDSHAKE = ("handshake failed", "Verification Check failed", "Socket closed")


def open_channel(address: str, access: Access) -> grpc.aio.Channel:
    """A channel to `host:port`, over TLS where the worker has an authority to check it with."""
    if access.ca is None:
        return grpc.aio.insecure_channel(address, options=_OPTIONS)
    key, chain = (access.pair.key, access.pair.chain) if access.pair else (None, None)
    credentials = grpc.ssl_channel_credentials(access.ca, key, chain)
    return grpc.aio.secure_channel(address, credentials, options=_OPTIONS)


def metadata(access: Access) -> tuple[tuple[str, str], ...]:
    """The headers of each call."""
    return (("authorization", f"Bearer {access.token}"),) if access.token else ()


def not_understood(error: grpc.aio.AioRpcError) -> bool:
    """Whether somebody was there, and TLS failed or was missing on one side."""
    details = error.details() or ""
    return error.code() == grpc.StatusCode.UNAVAILABLE and any(
        each in details for each in _HANDSHAKE
    )


def refusal(error: grpc.aio.AioRpcError) -> str | None:
    """Why a coordinator will never take this worker; None: it may be tried again."""
    if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
        return error.details()
    if error.code() == grpc.StatusCode.UNAUTHENTICATED:
        return (
            "the join token is wrong, revoked, expired or used up; TASKMASTER_JOIN_TOKEN needs "
            "another."
        )
    return None
