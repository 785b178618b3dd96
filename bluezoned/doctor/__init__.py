"""bluezonectl doctor: what is looked at, and what it means. Layer 4.

`gathering` asks the machine, `diagnosis` judges what was found without asking anything, so that every judgement can be
tried.
"""
