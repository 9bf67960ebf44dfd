"""`python -m cachy` is the `cachy` command."""

import sys

from cachy.cli import main

sys.exit(main())
