"""The runtime of one node: keeps the kernel, BGP and WireGuard as the control plane wants them."""
