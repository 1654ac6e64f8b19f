"""Holds a lock with generated code alone: by Session, then by Hold, each until there is a line on standard input."""

import os
import sys
import threading

import grpc
from holdfast.v1 import lock_service_pb2 as pb
from holdfast.v1 import lock_service_pb2_grpc

# The pings notice a connection that goes silent, within the TTL of 15 s.
pings = {"grpc.keepalive_time_ms": 10_000, "grpc.keepalive_timeout_ms": 4_000, "grpc.http2.max_pings_without_data": 0}
service = lock_service_pb2_grpc.LockServiceStub(grpc.insecure_channel(sys.argv[1], list(pings.items())))
locks = [pb.LockSpec(name=sys.argv[2])]
done = threading.Event()


def requests():
    opening = pb.SessionCommand(open=pb.Open(liveness=pb.LIVENESS_TRANSPORT))
    yield pb.SessionRequest(commands=[opening, pb.SessionCommand(acquire=pb.Acquire(claim_id=1, locks=locks))])
    done.wait()  # The end of the requests half-closes, which frees the lock.


def work(end):
    threading.Thread(target=lambda: (sys.stdin.readline(), end()), daemon=True).start()


for frame in service.Session(requests()):  # Reading on while it works: an error, or Lost, says that the lock is lost.
    for event in frame.events:
        print("Session:", event, flush=True)
        if event.HasField("granted"):
            work(done.set)
        elif event.HasField("denied") or event.HasField("lost"):
            os._exit(1)

hold = service.Hold(pb.HoldRequest(locks=locks))
for step in hold:
    print("Hold:", step, flush=True)
    if step.HasField("granted"):
        work(lambda: os._exit(0))
