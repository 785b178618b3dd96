"""The whole job on one desk: an authority, four boxes and recorded radio, from contact to alert and back.

Layer 4. Starts the real programs as processes; only the radio waves and the time are made.
"""
