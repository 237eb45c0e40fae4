"""`klue-beam`, and `python -m klue_beam`: the command line; from its first import, Ctrl-C prints no traceback."""

import sys


def main() -> int:
    """Run the command of this process; gives its exit code."""
    try:
        from klue_beam.beam_pipelines.cli import main as run  # noqa: PLC0415  it is interrupted here, too

        return run()
    except KeyboardInterrupt:
        print("klue-beam: Stopped before anything was done.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
