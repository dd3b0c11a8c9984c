"""The node's BGP daemon behind one small edge: render, check, load, state.

driver    what a driver is, and which one a node uses
plan      what both daemons' configurations are made from (pure)
commands  how commands and services are run; the one place that starts a process
bird      BIRD 2: load and read back;  bird_config  its configuration as text (pure)
frr       FRR: load and read back;     frr_config   its configuration as text (pure)
"""
