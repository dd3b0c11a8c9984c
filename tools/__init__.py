"""What a checkout needs around the program: set-up, bundles, lab stacks, stand-in plugins."""
