"""`python -m interlace.cli` is the same program as `interlace`."""

from __future__ import annotations

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
