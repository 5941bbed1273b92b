"""``python -m acclimate`` is the command ``acclimate``."""

import sys

from acclimate.commands import main

if __name__ == "__main__":
    sys.exit(main())
