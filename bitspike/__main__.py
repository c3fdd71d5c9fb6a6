"""``python -m bitspike`` is the command ``bitspike``."""

import sys

from bitspike.cli import main

sys.exit(main())
