"""xfernas_jax: transfer neural architecture search; `python run.py --help` lists the commands."""

import sys

from xfernas_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
