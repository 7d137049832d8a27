"""`python -m xfernas_jax`: the command line, as `xfernas`."""

import sys

from xfernas_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
