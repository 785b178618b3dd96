"""The radio's room: advertisements out, receptions in. Radio addresses live and die here."""
