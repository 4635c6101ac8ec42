"""`python -m tests.benchmarks [NAME ...] [--long] [--write]`: measure, print, and with --write renew docs/performance.md."""

import argparse
import importlib
import sys
import time

from tests.benchmarks.figure import load_remark, section, write

NAMES = ("notifications", "lateness", "latency", "start", "site_load", "archive", "history")


def main() -> int:
    """Run the benchmarks one after another; 1 where a figure missed its target or could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}; all where none is given")
    parser.add_argument("--long", action="store_true", help="the long form: lateness over 20,000 cycles (34 minutes)")
    parser.add_argument("--write", action="store_true", help="renew the tables in docs/performance.md")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(NAMES)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    missed = False
    for name in options.names or NAMES:
        load, began = load_remark(), time.monotonic()
        print(f"--- {name} {load and f'({load})'}", flush=True)
        figures = []
        try:
            for figure in importlib.import_module(f"tests.benchmarks.{name}").measure(long=options.long):
                print(figure.line(), flush=True)
                figures.append(figure)
                missed |= figure.met is False
        except (RuntimeError, OSError) as error:
            # The other figures are worth having; the table of this one stays as it was.
            print(f"{name} could not be measured: {error}", file=sys.stderr, flush=True)
            missed = True
            continue
        print(f"--- {name}: {time.monotonic() - began:.0f} s", flush=True)
        if options.write:
            command = f"python -m tests.benchmarks {name}{' --long' if options.long else ''}"
            write(name, section(name, command, load, figures))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
