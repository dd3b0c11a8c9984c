"""`make demo`: a node dies, another is drained, and what clients notice of it.

world      the running lab, as the demo needs it
story      what happens, in order, and what was measured
screen     one line for each client, live on a terminal
"""
