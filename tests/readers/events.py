"""Events of the log as the CloudEvents SDK reads them, in binary mode: a list of {"headers", "body"} in, what they say out."""

import json
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_binary
from cloudevents.core.formats.json import JSONFormat

read = []
for message in json.load(sys.stdin):
    event = from_binary(HTTPMessage(message["headers"], message["body"].encode()), JSONFormat())
    assert event.get_data()["type"] == event.get_type(), message
    read.append(
        {
            "id": event.get_id(),
            "type": event.get_type(),
            "source": event.get_source(),
            "subject": event.get_subject(),
            "time": event.get_time().isoformat(),
        }
    )
print(json.dumps(read))
