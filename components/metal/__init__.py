"""Datacentres of one's own: hosts that exist, and routers that somebody else configures."""
