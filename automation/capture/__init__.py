"""What is taken from a portal's page: login codes, masked pictures, and what is kept of a failure."""
