"""Takeover: a client whose packets come here becomes this node's, and loses nothing meanwhile."""
