"""Decides whether this node may attract traffic.

machine     UP, DEMOTED, DRAINING, DOWN: a pure state machine and its theory
dampening   how long a node that keeps failing has to hold back, pure
rounds      runs all probes at once and folds their results into one observation
probes/     one small file per probe; `probes.REGISTRY` lists them
"""
