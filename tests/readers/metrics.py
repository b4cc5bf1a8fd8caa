"""What Prometheus' own library reads in a page of metrics: standard input. Prints a list with a list for each sample: its
name, its labels as text, its value. Fails if the page is not OpenMetrics."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families


def labels(sample):
    return ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))


families = list(text_string_to_metric_families(sys.stdin.read()))
for family in families:
    assert family.documentation, f"{family.name} says nothing of itself"
    assert family.type != "histogram" or family.unit == "seconds", f"{family.name} is in no unit"
print(json.dumps([[sample.name, labels(sample), sample.value] for family in families for sample in family.samples]))
