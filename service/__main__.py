"""`python -m service` is `vcodec`."""

import sys

from service.cli import main

sys.exit(main())
