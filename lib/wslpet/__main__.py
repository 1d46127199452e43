"""`python -m wslpet`: the command line without its entry point."""

import sys

from wslpet.cli.main import main

sys.exit(main())
