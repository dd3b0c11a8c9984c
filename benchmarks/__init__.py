"""Benchmarks: each prints what it measured beside a named peer, as JSON lines.

`python -m benchmarks` runs all, `python -m benchmarks NAME…` some. One module per
benchmark, with `run() -> Iterator[Result]`, or `run(lab) -> Iterator[Result]` where it
measures a running lab; `benchmarks.__main__` lists them.
"""
