import sys

from wslpet.cli.main import main

sys.exit(main())
