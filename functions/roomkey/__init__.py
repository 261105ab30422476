"""Roomkey: a self-hosted token server for video apps."""

__version__ = "0.1.0"
