"""Long runs of random and mutated bytes. Short ones are part of the tests."""
