import sys

from wslpet.cli.main import main
from wslpet.core.threads import wait_asleep

wait_asleep()
sys.exit(main())
