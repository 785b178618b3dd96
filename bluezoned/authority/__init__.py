"""The health authority: cases, one-time codes, published keys. Its core takes time and randomness as arguments."""
