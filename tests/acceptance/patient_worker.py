"""Run holdfast with minutes for a portal's answer, so that jobs can be held where a portal does not answer."""

from __future__ import annotations

from automation.portals import outcomes
from holdfast.cli import main

if __name__ == "__main__":
    outcomes.ANSWER = 300.0  # type: ignore[misc]
    main()
