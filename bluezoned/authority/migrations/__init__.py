"""How the database's tables came to be: one revision after another, each in a file of versions/, run by Alembic.

A revision that is published never changes. The tables as they are now are declared in the modules that use them; a test
compares the two.
"""
