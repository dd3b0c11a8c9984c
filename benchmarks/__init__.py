"""Benchmarks: each prints what it measured beside a named peer, as JSON lines.

`python -m benchmarks` runs all, `python -m benchmarks NAME…` some. One module per
benchmark with `run(…) -> Iterator[Result]`, where it may ask for `lab`, a running one, and
`options` (benchmarks/options.py); `benchmarks.__main__` lists them.
"""
