"""The running program: supervisor, field processes, core, mirror, archive and the faces."""

__version__ = "0.1.0"
