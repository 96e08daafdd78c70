import logging
import os
import sys

from taskmaster import task
from tasks.models import Order

log = logging.getLogger(__name__)


@task(backend="jobs", queue_name="mail")
def ship(order_id):
    order = Order.objects.get(pk=order_id)
    order.shipped = True
    order.save()
    log.info("shipped %s", order.sku)
    return order.sku


@task(backend="jobs")
def where():
    """Return the modules that the process finds under names that belong to the project."""
    try:
        import proto

        message = proto.Message.__module__
    except ImportError:
        message = None
    import workers.models

    return {
        "proto": message,
        "workers": workers.models.__file__,
        "first": sys.path[0],
        "cwd": os.getcwd(),
    }
