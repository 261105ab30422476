"""The commands: one module per command, one package per group."""
