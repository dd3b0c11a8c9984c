"""The packet path as BPF programs for tc (../takeover.bpf.c, ../headers), by way of libbpf.

build       compiles the program, when the wheel is built and in a checkout
libbpf      the edge to libbpf.so.1: functions, their errors, its log
layout      the program's structures and sizes as bytes, pure
maps        typed access to maps
devices     what is asked of network devices
hooks       programs attached to devices (clsact)
pins        the bpffs that keeps maps and programs over a restart of the agent
program     loads the object, or takes over what is pinned
path        BpfPath: all of it as a packet path
"""
