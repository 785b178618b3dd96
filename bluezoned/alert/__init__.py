"""How people are told: one indication at a time, on whatever the box has."""
