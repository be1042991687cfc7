"""Putting the figures of a run into ``bench/README.md`` and ``bench/results.json``, where a reader finds them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.figures import Row, table

BENCH = Path(__file__).parent
README = BENCH / "README.md"
KEPT = BENCH / "results.json"


def keep(rows: Sequence[Row], said: Mapping[str, Any]) -> None:
    """Write both."""
    machine = said["machine"]
    where = f"{machine['cores']} cores ({machine['processor']}), Python {machine['python']}, Node {machine['node']}"
    told = f"`make bench` on {where}, {machine['at'][:10]}, in {said['seconds']} s:"
    text = filled(README.read_text(), "measured", f"{told}\n\n{table(rows)}")
    counts = next((row.behind for row in rows if row.name == "statements"), None)
    if counts:
        text = filled(text, "statements", statements(counts))
    README.write_text(text)
    KEPT.write_text(json.dumps(said, indent=2) + "\n")


def filled(text: str, name: str, content: str) -> str:
    """The text with what stands between a pair of marks replaced. Raises ValueError where there is no such pair."""
    found, times = re.subn(
        rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)",
        lambda _: f"\n{content}\n\n",
        text,
        flags=re.DOTALL,
    )
    if times != 1:
        raise ValueError(f"{times} places for {name}")
    return found


def statements(counts: Mapping[str, Mapping[str, float]]) -> str:
    """What each request costs, in Markdown."""
    lines = ["| request | statements | round trips | CPU us | time ms |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {name} | {cost['statements']} | {cost['round trips']} | {cost['CPU us']:,.0f} | {cost['time ms']:.1f} |"
        for name, cost in counts.items()
    ]
    return "\n".join(lines)
