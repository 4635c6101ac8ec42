"""Log lines of all processes: UTC, level, process, text; to standard error, where a service manager reads them."""

import logging
import time


class _Formatter(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def __init__(self, process: str) -> None:
        super().__init__(f"%(asctime)s.%(msecs)03dZ %(levelname)-7s {process}: %(message)s", "%Y-%m-%dT%H:%M:%S")


def configure(process: str, level: int = logging.INFO) -> None:
    """Set up logging of this process. Libraries speak only from warnings on."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gridbms").setLevel(level)
