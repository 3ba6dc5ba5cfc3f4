"""The table of values in the chart's README, from its schema and its defaults: `python -m tests.chart.values_table`
writes it anew, and a test holds the two equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from tests.chart.charts import CHART

README = CHART / "README.md"
BEGIN, END = "<!-- values: made by `make chart-values` -->\n", "<!-- end of values -->\n"
Schema = dict[str, Any]


def schema() -> Schema:
    found = json.loads((CHART / "values.schema.json").read_text())
    assert isinstance(found, dict)
    return found


def defaults() -> dict[str, Any]:
    found = yaml.safe_load((CHART / "values.yaml").read_text())
    assert isinstance(found, dict)
    return found


def leaves(part: Schema, values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Schema, Any]]:
    """Every value that can be set, with its schema and its default; an image is one value."""
    if "properties" in part and "additionalProperties" in part and part["additionalProperties"] is False:
        for name, inner in part["properties"].items():
            if name != "global":
                yield from leaves(inner, (values or {}).get(name), (*path, name))
    else:
        yield ".".join(path), part, values


def table() -> str:
    """Markdown, one row for each value."""
    rows = ["| value | default | what it is |", "| --- | --- | --- |"]
    for name, part, default in leaves(schema(), defaults()):
        shown = "" if name == "pools" else f"`{json.dumps(default, ensure_ascii=False)}`"
        choice = f" ({', '.join(f'`{word}`' for word in part['enum'])})" if "enum" in part else ""
        rows.append(f"| `{name}` | {shown} | {part['description']}{choice} |".replace("  |", " |"))
    return "\n".join(rows) + "\n"


def with_table(text: str) -> str:
    """The README with the table as it has to be."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"wanted a line {BEGIN.strip()!r} and then {END.strip()!r} in {README}"
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
