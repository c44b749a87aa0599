"""What the PyPI packages statsd and datadog send. Arguments: UDP port, TCP port, unix socket."""

import sys
import time

import statsd
from datadog.dogstatsd.base import DogStatsd

udp, tcp, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

plain = statsd.StatsClient("127.0.0.1", udp, prefix="py")
plain.incr("hits")
plain.incr("hits", 4)
plain.decr("hits")  # no counter in Prometheus goes down: an error, counted
plain.gauge("temperature", 20)
plain.gauge("temperature", 5, delta=True)
plain.gauge("temperature", -3, delta=True)
plain.gauge("depth", -7)
plain.timing("wait", 320)
for user in ("ann", "bob", "ann"):
    plain.set("users", user)
with plain.pipeline() as pipe:
    pipe.incr("piped")
    pipe.incr("piped", 2)
for _ in range(200):
    # The client throws dice and tells the rate.
    plain.incr("sampled", rate=0.5)

stream = statsd.TCPStatsClient("127.0.0.1", tcp, prefix="py")
stream.incr("over.tcp", 3)
stream.timing("over.tcp.wait", 100)
stream.close()

dog = DogStatsd(
    "127.0.0.1",
    udp,
    namespace="dd",
    constant_tags=["env:test"],
    container_id="c0ffee",
    disable_telemetry=True,
)
dog.increment("pages", 2, tags=["page:home"])
dog.gauge("load", 0.75)
dog.timing("query", 250, tags=["db:main"])
dog.set("visitors", "ann")
dog.event("deployed", "version 2", tags=["who:ann"])
dog.service_check("db", DogStatsd.OK, tags=["who:ann"])
dog.count_with_timestamp("stamped", 5, int(time.time()))
dog.increment("low", cardinality="low")
dog.flush()

many = DogStatsd(
    "127.0.0.1",
    udp,
    namespace="ext",
    disable_telemetry=True,
    disable_aggregation=False,
    origin_detection_enabled=False,
    max_metric_samples_per_context=100,
)
for value in (1, 2, 3):
    many.distribution("size", value, tags=["kind:box"])
many.increment("summed", 2)
many.increment("summed", 3)
many.flush()
many.flush_aggregated_metrics()

local = DogStatsd(
    socket_path=path, namespace="uds", disable_telemetry=True, origin_detection_enabled=False
)
local.increment("hits", 6, tags=["over:unixgram"])
local.flush()
