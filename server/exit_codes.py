"""How the program and each of its processes end: the one table of exit codes.

An error that nobody foresaw ends a process with Python's 1, a signal with its number; the supervisor starts the process
again. docs/formats.md tells users the same.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line and of the processes that the supervisor starts."""

    STOPPED = 0
    """Done, or stopped cleanly."""
    CONFIGURATION = 2
    """Configuration or usage: starting again cannot mend it."""
    CANNOT_START = 3
    """A file, folder, port or capture is not what it should be: it may work once that is mended."""
    ORPHANED = 70
    """A process whose supervisor was gone before it began; nobody waits for this code."""
