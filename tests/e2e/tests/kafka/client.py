"""A real Kafka client (librdkafka), told what to do by JSON lines and answering each with one."""

import json
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

SERVERS = {"bootstrap.servers": sys.argv[1]}
admin = AdminClient(SERVERS)
joined = {}

# What a broker answers while a group's coordinator is being found or made.
MOVING = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._WAIT_COORD,
    KafkaError._TIMED_OUT,
    KafkaError.REQUEST_TIMED_OUT,
)


def done(futures):
    for future in futures.values():
        future.result(180)


def create(topic, partitions, replication=1, config={}):
    done(admin.create_topics([NewTopic(topic, partitions, replication, config=config)]))


def delete(topic):
    done(admin.delete_topics([topic]))


def produce(topic, partition, count, timestamp=0, size=10, key=False):
    failed = []
    report = lambda error, _: failed.append(str(error)) if error else None
    producer = Producer({**SERVERS, "linger.ms": 5, "acks": "all"})
    for number in range(count):
        value = (b"%d " % number).ljust(size, b"x")
        producer.produce(
            topic,
            value,
            key=b"%d" % number if key else None,
            partition=partition,
            timestamp=timestamp,
            on_delivery=report,
        )
    left = producer.flush(180)
    if failed or left:
        raise RuntimeError(f"{left} not sent, {failed[:1]}")


def consumer(group, protocol):
    config = {**SERVERS, "group.id": group, "group.protocol": protocol, "enable.auto.commit": False}
    return Consumer(config)


def commit(group, topic, offsets):
    one = consumer(group, "classic")
    places = [TopicPartition(topic, int(index), offset) for index, offset in offsets.items()]
    until = time.monotonic() + 120
    while True:
        try:
            committed = one.commit(offsets=places, asynchronous=False)
            break
        except KafkaException as error:
            # The first commit of all makes the broker create the topic for them.
            if error.args[0].code() not in MOVING or time.monotonic() > until:
                raise
            time.sleep(0.5)
    for place in committed:
        if place.error:
            raise RuntimeError(str(place.error))
    one.close()


def join(group, topic, protocol, partitions):
    """A member that stays, and has been given so many partitions; it reads nothing."""
    one = consumer(group, protocol)
    assigned = threading.Event()
    stop = threading.Event()

    def on_assign(which, places):
        which.assign(places) if protocol == "classic" else which.incremental_assign(places)
        which.pause(places)
        if len(which.assignment()) >= partitions:
            assigned.set()

    one.subscribe([topic], on_assign=on_assign)

    def poll():
        while not stop.is_set():
            one.poll(0.1)
        one.close()

    thread = threading.Thread(target=poll)
    thread.start()
    joined[group] = (stop, thread)
    if not assigned.wait(180):
        raise RuntimeError(f"{group} was assigned nothing")


def leave(group):
    stop, thread = joined.pop(group)
    stop.set()
    thread.join(60)


def allow(user, kind, name, operation):
    binding = AclBinding(
        ResourceType[kind],
        name,
        ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        AclOperation[operation],
        AclPermissionType.ALLOW,
    )
    done(admin.create_acls([binding]))


for line in sys.stdin:
    order = json.loads(line)
    name = order.pop("do")
    try:
        globals()[name](**order)
        answer = {"ok": True}
    except Exception as error:
        answer = {"ok": False, "error": f"{name}: {error}"}
    print(json.dumps(answer), flush=True)
for group in list(joined):
    leave(group)
