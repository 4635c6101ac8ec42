"""Numbers that stand in the database for names of points and groups; a name that is new gets the next number."""

import sqlite3
from collections.abc import Iterable

from server.store.tail import SeriesOfGroup


class Names:
    """All of them in memory: the writer is the only one that adds."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.series: dict[str, int] = dict(database.execute("SELECT point, id FROM series"))
        self.groups: dict[str, int] = dict(database.execute("SELECT name, id FROM groups"))

    def learn(self, groups: Iterable[SeriesOfGroup]) -> None:
        """Give numbers to what is new, in one transaction of its own. Raises sqlite3.Error and then knows nothing new."""
        described = list(groups)
        names = [(group.name,) for group in described if group.name not in self.groups]
        points = [
            (point, built_in)
            for group in described
            for point, _, built_in in (*group.scalars, *group.matrices)
            if point not in self.series
        ]
        if not names and not points:
            return
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany("INSERT OR IGNORE INTO groups(name) VALUES(?)", names)
            self._database.executemany("INSERT OR IGNORE INTO series(point, built_in) VALUES(?,?)", points)
            self._database.execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        for (name,) in names:
            self.groups[name] = self._one("SELECT id FROM groups WHERE name=?", name)
        for point, _ in points:
            self.series[point] = self._one("SELECT id FROM series WHERE point=?", point)

    def _one(self, query: str, name: str) -> int:
        return int(self._database.execute(query, (name,)).fetchone()[0])
