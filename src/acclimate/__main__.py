"""``python -m acclimate`` is the command ``acclimate``."""

import sys

from acclimate.cli import main

sys.exit(main())
