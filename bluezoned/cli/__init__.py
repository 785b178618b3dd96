"""bluezonectl: what a person asks of the box. One module per group of commands; `program` puts them together.

Formats for people and as `--json`. Knows no store and no radio. Layer 4.
"""
