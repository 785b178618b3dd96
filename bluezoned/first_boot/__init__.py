"""The first boot of a card: one file on its boot partition is read, imported, and its secrets are erased there."""
