"""Anycastle's node runtime, control plane and command line."""

__version__ = "0.1.0"
