"""bluezone-authority: the commands, a module for each group."""
