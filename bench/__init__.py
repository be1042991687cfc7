"""What Holdfast costs and how fast it is, beside bare baselines and the best servers on Node: ``python -m bench``."""
