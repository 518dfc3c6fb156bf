"""``python -m gexcore.cli``: the command line where no ``gexcore`` is on the path."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
