"""What is on the air: bytes in, bytes out. No clock, no store, no radio."""
