"""The trade in plain Python: values, rules, use cases and the ports they need."""
