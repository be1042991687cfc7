"""What each field does."""
