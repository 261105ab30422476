"""The commands, a file for each group: what they ask, what they say, how they end."""
