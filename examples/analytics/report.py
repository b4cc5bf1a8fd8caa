"""Answers questions.sql out of events.ndjson (fetch.py, or `hongyan events export`), and draws messages.svg.

    python report.py [--json] [events.ndjson]
"""

import json
import re
import sys

import duckdb

COLUMNS = "{position: 'bigint', type: 'text', subject: 'text', time: 'timestamp', actor: 'bigint', data: 'json'}"
KINDS = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5"]


def questions():
    """The name of each question, and its SQL."""
    text = open(__file__.replace("report.py", "questions.sql")).read()
    return re.findall(r"^-- (\w+): .*\n((?:(?!^-- \w+: ).*\n?)*)", text, re.M)


def picture(rows):
    """Messages per hour, a bar each, by kind."""
    hours = sorted({row["hour"] for row in rows})
    kinds = sorted({(row["chat"], row["kind"]) for row in rows})
    most = max((sum(row["messages"] for row in rows if row["hour"] == hour) for hour in hours), default=1)
    wide = min(60, 900 / max(1, len(hours)))
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 420" font-family="sans-serif" font-size="13">']
    parts.append('<rect width="1000" height="420" fill="white"/><text x="60" y="24">messages per hour</text>')
    parts.append(f'<text x="52" y="54" text-anchor="end">{most}</text><text x="52" y="364" text-anchor="end">0</text>')
    for index, hour in enumerate(hours):
        x, y = 60 + index * wide, 360.0
        for number, kind in enumerate(kinds):
            messages = sum(r["messages"] for r in rows if (r["hour"], r["chat"], r["kind"]) == (hour, *kind))
            height = 310 * messages / most
            y -= height
            color = KINDS[number % len(KINDS)]
            parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide * 0.9:.1f}" height="{height:.1f}" fill="{color}"/>')
        if index % (1 + len(hours) // 12) == 0:
            parts.append(f'<text x="{x:.1f}" y="378">{str(hour)[5:13]}h</text>')
    for number, (chat, kind) in enumerate(kinds):
        x = 60 + 110 * number
        parts.append(f'<rect x="{x}" y="394" width="12" height="12" fill="{KINDS[number % len(KINDS)]}"/>')
        # What a client calls a kind may be anything.
        label = re.sub(r"[^\w ]", "", f"{chat} {kind}")[:16]
        parts.append(f'<text x="{x + 16}" y="405">{label}</text>')
    return "\n".join([*parts, "</svg>\n"])


arguments = sys.argv[1:]
as_json = "--json" in arguments
file = next((argument for argument in arguments if argument != "--json"), "events.ndjson").replace("'", "''")
duckdb.sql(f"create view events as select * from read_json('{file}', columns = {COLUMNS})")
answers = {}
for name, sql in questions():
    relation = duckdb.sql(sql)
    answers[name] = [dict(zip(relation.columns, row)) for row in relation.fetchall()]
    if not as_json:
        print(name, relation, sep="\n")
with open("messages.svg", "w") as svg:
    svg.write(picture(answers["messages_per_hour"]))
if as_json:
    print(json.dumps(answers, default=str))
