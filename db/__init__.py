"""The domain's ports over PostgreSQL and the broker."""
