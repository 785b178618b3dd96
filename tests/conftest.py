"""What holds for every test."""

from hypothesis import settings

# A deadline is a timed test: on a machine under load it fails without a fault.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
