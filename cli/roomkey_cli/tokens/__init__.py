"""Tokens and credentials at a terminal: made, checked, explained."""
