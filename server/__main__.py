"""The program: the command line, or one of the processes when the supervisor starts it."""

import sys

INTERRUPTED = 130
"""What a shell says of a program that Ctrl-C has ended."""


def main() -> None:
    """Entry point. Ctrl-C while the program is still being loaded ends it without a word: nothing has been started."""
    try:
        _main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _main() -> None:
    # The imports take most of a second; they stand here so that Ctrl-C finds somebody who expects it.
    from server.duties import KINDS

    if len(sys.argv) > 1 and sys.argv[1].partition("-")[0] in KINDS and "--parent" in sys.argv:
        from server.processes import run_process

        sys.exit(run_process(sys.argv[1:]))
    from server.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
