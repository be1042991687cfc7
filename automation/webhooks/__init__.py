"""Telling endpoints of events, and of login codes."""
