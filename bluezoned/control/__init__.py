"""org.bluezoned.Daemon1: how programs on this machine ask the daemon and tell it things.

What crosses is for people: states, counts, whole days. No identifier, key, address or time of a single encounter.
"""
