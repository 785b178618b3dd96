"""The heart: what was heard, how near it was, what it means. Time and randomness are arguments; nothing awaits."""
