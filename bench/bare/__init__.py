"""Bare servers: as little as does the same work, for Holdfast to be measured against."""
