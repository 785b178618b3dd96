"""bluezoned: a private contact-tracing beacon for the Raspberry Pi, and the authority it listens to."""

__version__ = "0.1.0"
