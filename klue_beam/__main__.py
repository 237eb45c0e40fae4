"""`python -m klue_beam` is `klue-beam`."""

import sys

from klue_beam.beam_pipelines.cli import main

if __name__ == "__main__":
    sys.exit(main())
