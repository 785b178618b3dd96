"""A page for a display that stands beside a box in a room. Asks the bus, and is seen on this machine alone."""
