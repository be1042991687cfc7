"""Chromium for visits: found, started, kept within bounds, ended with everything it started."""
