"""The console: pages of the local stack."""
