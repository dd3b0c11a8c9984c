"""A lab's stack: what surrounds `pulumi up` and `pulumi destroy` so that one command is enough."""
