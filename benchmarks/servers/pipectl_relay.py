"""Relays PIPE to TARGET and PIPE-sink to TARGET-sink: `pipectl_relay.py PIPE TARGET`; prints counts for each line."""

import sys
import threading

from pipectl.core.traffic.places import parse
from pipectl.core.traffic.relay import Relay

with (
    Relay(parse(sys.argv[1]), parse(sys.argv[2])) as relay,
    Relay(parse(f"{sys.argv[1]}-sink"), parse(f"{sys.argv[2]}-sink")),
):
    for _ in sys.stdin:
        threads = sum(thread.name.startswith("Relay ") for thread in threading.enumerate())
        print(threads // 2, relay.connected, *relay.stats[2:], flush=True)
