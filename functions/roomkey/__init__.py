"""Roomkey: the token endpoint for real-time video that a team owns."""

__version__ = "0.1.0"
