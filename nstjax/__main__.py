"""Entry point of ``python -m nstjax``."""

import sys

from nstjax.cli.main import main

sys.exit(main())
