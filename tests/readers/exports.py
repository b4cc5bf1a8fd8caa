"""An export as DuckDB and the CloudEvents SDK read it: {"sql", "file"} in; rows of the SQL in that file's folder, and events
of the file unless it is compressed, out."""

import json
import os
import sys

import duckdb
from cloudevents.core.bindings.http import HTTPMessage, from_structured
from cloudevents.core.formats.json import JSONFormat

asked = json.load(sys.stdin)
os.chdir(os.path.dirname(asked["file"]))
for statement in asked["sql"]:
    result = duckdb.sql(statement)
rows = [[str(value) for value in row] for row in result.fetchall()]
events = []
if asked["file"].endswith(".ndjson"):
    for line in open(asked["file"], "rb"):
        event = from_structured(HTTPMessage({"content-type": "application/cloudevents+json"}, line), JSONFormat())
        events.append(
            {
                "id": event.get_id(),
                "type": event.get_type(),
                "subject": event.get_subject(),
                "data": event.get_data(),
                "attributes": {name: str(value) for name, value in event.get_attributes().items()},
            }
        )
print(json.dumps({"rows": rows, "events": events}))
