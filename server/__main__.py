"""`python -m server`: the command line, or one of the processes when the supervisor starts it."""

import sys

from server.duties import KINDS
from server.processes import run_process

if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].partition("-")[0] in KINDS and "--parent" in sys.argv:
        sys.exit(run_process(sys.argv[1:]))
    from server.cli import main

    main()
