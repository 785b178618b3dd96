"""The way to the authority: what came in, what must go out, and the HTTP between. Holds no secret and trusts nobody."""
