"""`python -m medgen`: the command line without an installed script."""

import sys

from medgen.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
