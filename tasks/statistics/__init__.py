"""The figures of dashboard and API: rolled up while tasks end, never counted over the history."""

from tasks.statistics.read import Overview, QueueDepth, Series, overview, queues, series

__all__ = ["Overview", "QueueDepth", "Series", "overview", "queues", "series"]
