"""What a pool may be called."""

#: A label of a DNS name, so that a service or a Deployment can bear it.
NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
