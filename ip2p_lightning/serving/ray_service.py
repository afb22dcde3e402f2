"""The service on Ray Serve: replicas of it on the machines of a cluster, each with its own queue and worker.

The optional way to serve a cluster (`ip2p serve backend=ray`); a single machine needs no Ray.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

_NAME = "ip2p"


def deploy(
    make: Callable[[], FastAPI],
    host: str,
    port: int,
    replicas: int = 1,
    ongoing: int = 256,
    grace: float = 30.0,
    gpus: float = 0,
) -> None:
    """Start replicas on the cluster that `RAY_ADDRESS` names, else on one of this machine alone.

    Args:
        make: a function that makes the service, called on the machine of each replica.
        host: address of the HTTP proxies.
        port: theirs.
        replicas: number of them.
        ongoing: requests that a replica is sent at once; its own queue answers 429 long before that.
        grace: seconds in which a replica that is stopped finishes what is in work.
        gpus: of each replica.

    Raises:
        ImportError: Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray import serve
    except ImportError as error:
        raise ImportError("backend=ray needs Ray: pip install 'ip2p-lightning[ray]'") from error
    own: dict[str, Any] = {"include_dashboard": False, "num_cpus": max(replicas + 2, os.cpu_count() or 1)}
    ray.init(log_to_driver=False, logging_level=logging.ERROR, **({} if os.environ.get("RAY_ADDRESS") else own))
    serve.start(http_options={"host": host, "port": port})
    replica = serve.deployment(
        name=_NAME,
        num_replicas=replicas,
        ray_actor_options={"num_gpus": gpus},
        max_ongoing_requests=ongoing,
        graceful_shutdown_timeout_s=grace,
    )(serve.ingress(make)())
    serve.run(replica.bind(), name=_NAME, route_prefix="/")


def stop() -> None:
    """Stop the replicas, which finish what they have in work, and leave the cluster."""
    import ray
    from ray import serve

    serve.shutdown()
    ray.shutdown()
