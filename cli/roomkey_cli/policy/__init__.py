"""Policies as documents: checked and simulated."""
