"""Brings the events of the analysts' stream into events.ndjson, and what is new when it runs again.

    nats_analyst=PASSWORD python fetch.py [nats://127.0.0.1:7422]
"""

import asyncio
import json
import os
import sys

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

FILE = "events.ndjson"
AT_ONCE = 500


def last_line():
    """The last whole line that is there; what was torn off behind it is removed."""
    try:
        with open(FILE, "rb+") as file:
            text = file.read()
            file.truncate(text.rfind(b"\n") + 1)
            lines = text[: text.rfind(b"\n") + 1].splitlines()
            return json.loads(lines[-1]) if lines else None
    except FileNotFoundError:
        return None


async def main(server):
    client = await nats.connect(server, user="analyst", password=os.environ["nats_analyst"])
    stream = client.jetstream()
    about = await stream.stream_info("ANALYTICS")
    generation, last = about.config.metadata["hy-generation"], about.state.last_seq
    known = last_line()
    if known and known["generation"] != generation:
        os.remove(FILE)  # the stream has begun anew, and so do we
        known = None
    begin = max(known["sequence"] + 1 if known else 1, about.state.first_seq)
    begun_at = ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=begin, ack_policy=AckPolicy.NONE, inactive_threshold=60
    )
    count = 0
    if begin <= last:
        events = await stream.pull_subscribe("", stream="ANALYTICS", config=begun_at)
        with open(FILE, "a") as file:
            while begin <= last:
                for event in await events.fetch(min(AT_ONCE, last - begin + 1), timeout=30):
                    headers, begin = event.headers, event.metadata.sequence.stream + 1
                    line = {
                        "position": headers["hy-position"],
                        "type": headers["ce-type"],
                        "subject": event.subject,
                        "time": headers["ce-time"],
                        "actor": headers.get("hy-actor"),
                        "sequence": begin - 1,
                        "generation": generation,
                        "data": json.loads(event.data),
                    }
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
                    count += 1
    await client.close()
    print(f"{count} new events in {FILE}", file=sys.stderr)


asyncio.run(main(*(sys.argv[1:] or ["nats://127.0.0.1:7422"])))
