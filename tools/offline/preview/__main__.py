"""`python -m tools.offline.preview PACKAGE VERSION [ENGINE]`: the preview-only plugin of a package."""

from __future__ import annotations

import asyncio
import os
import sys

from tools.offline import serving
from tools.offline.preview import guard
from tools.offline.preview.provider import Provider


def main() -> None:
    package, version = sys.argv.pop(1), sys.argv.pop(1)
    pretends = guard.throw_away(os.environ) is not None
    provider = Provider(package, version, pretends=pretends)
    asyncio.run(serving.serve(serving.engine_address(), lambda _: provider))


if __name__ == "__main__":
    main()
