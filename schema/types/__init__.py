"""The GraphQL types, a file a topic."""
