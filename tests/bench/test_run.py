"""A run of the bench, so small that its figures mean nothing: it still starts, measures and tells."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]


@pytest.mark.timeout(120)
@pytest.mark.feature("S1.41")
def test_a_tiny_run_measures_what_it_is_asked_to_and_writes_it_down(tmp_path: Path) -> None:
    written = tmp_path / "results.json"
    arguments = [
        "--tiny",
        "--without-peers",
        "--only",
        "reserve,fan_out,webhooks",
        "--json",
        str(written),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=HOUSE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(written.read_text())["rows"]}
    assert list(rows) == ["reserve", "fan_out", "webhooks"]
    measured = {figure["what"]: figure["value"] for row in rows.values() for figure in row["figures"]}
    assert measured.pop("reserve, throughput, to pgbench with 16 clients") > 0, done.stderr
    assert measured.pop("one change to 20 watchers, commit to last, to a bare broadcaster") > 0, done.stderr
    assert measured.pop("one change to 20 watchers, CPU a frame, to a bare broadcaster") > 0, done.stderr
    assert measured.pop("webhooks, delivered") > 0, done.stderr
    assert measured.pop("webhooks, commit to arrival, p99") > 0, done.stderr
    assert set(measured.values()) == {None}  # those that are compared with servers on Node
    assert "left out" in done.stdout
