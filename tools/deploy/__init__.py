"""What the workflows in .github decide with.

affected  which stacks a change touches, and in which order they are deployed      (pure)
verdict   is a deployment healthy after an `up`? a state machine                   (pure)
gate      asks `anycastle status --json` over the bake time
"""
