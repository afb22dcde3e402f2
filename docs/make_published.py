"""Make docs/published.md, every published number and its source, from docs/published.yaml.

python docs/make_published.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
TABLE = FOLDER / "published.yaml"
PAGE = FOLDER / "published.md"
HEAD = """# The published numbers, and where each is from

`paper` experiments hold these values; each can be changed on the command line. The page is made from `published.yaml`
(`python docs/make_published.py`), whose values a test compares with the configuration.
"""


def page(table: dict[str, Any]) -> str:
    """The page, as Markdown."""
    parts = [HEAD, "| how sure | meaning |\n|---|---|"]
    parts[-1] += "".join(f"\n| {name} | {meaning} |" for name, meaning in table["sure"].items())
    for experiment, numbers in table["numbers"].items():
        rows = [f"\n## {experiment}\n\n| key | value | source | how sure | remark |\n|---|---|---|---|---|"]
        for key, (value, work, place, sure, remark) in numbers.items():
            where = table["works"][work]["title"].split(",")[0]
            source = where if work == "ours" else f"{where}, {place}"
            rows.append(f"| `{key}` | {json.dumps(value)} | {source} | {sure} | {remark} |")
        parts.append("\n".join(rows))
    works = [f"- {work['title']}" for name, work in table["works"].items() if name != "ours"]
    return "\n".join([*parts, "\n## Sources\n", *works]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(yaml.safe_load(TABLE.read_text(encoding="utf-8"))), encoding="utf-8")
    print(PAGE)
