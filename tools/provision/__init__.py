"""Set-up: brings a Debian 12 machine to where `make lab` and `make test` run (standard library only)."""
