"""`python -m anycastle.cli`: the command without its entry point."""

from anycastle.cli.main import main

main()
