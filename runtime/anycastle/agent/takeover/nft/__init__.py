"""The packet path by nftables, for nodes where BPF can't be loaded."""
