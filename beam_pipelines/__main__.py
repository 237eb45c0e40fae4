"""`python -m beam_pipelines` is `klue-beam`."""

import sys

from beam_pipelines.cli import main

if __name__ == "__main__":
    sys.exit(main())
