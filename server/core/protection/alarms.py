"""The alarms of a site: what the debounce engine finds becomes transitions, records, mirrors, counts, and stays known.

A condition is *pending* from the moment one of its levels arises until somebody acknowledges it. A latched trip stays
shown after its cause has gone, until it is reset. The same functions apply a transition in the cycle and in the replay
of the log, so a restarted core knows what the one before knew.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from information_model import quality
from information_model.enumerations import AlarmState
from information_model.points.row import Level
from server.config.site import Site
from server.core.event_pen import EventPen
from server.core.now import Now
from server.core.protection.debounce import Debounce
from server.core.protection.places import Condition, Places, build_places
from server.core.working import Working
from server.runtime.records import AckRecord, AlarmRecord, RecordKind

Flags = NDArray[np.bool_]
SampleTimes = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]
"""(source slots, racks, addresses of extreme cells) -> time of the sample of that cell, -1 unknown."""
ALL = "*"
"""As `alarm` of an AckRecord: every alarm of the element and of the elements below it."""
STATE_LOST = "state lost"


@dataclass
class History:
    """What an alarm remembers, [places]: times in UTC ns (0 never), values in the unit of the source."""

    count: NDArray[np.uint32]
    first_ns: NDArray[np.int64]
    last_ns: NDArray[np.int64]
    value: NDArray[np.float64]
    extreme: NDArray[np.float64]
    location: NDArray[np.int64]


class Alarms:
    """State of every alarm of the site; `step` is the scan of one cycle."""

    def __init__(self, site: Site, working: Working, pen: EventPen) -> None:
        self.site, self._working, self._pen = site, working, pen
        self.places: Places = build_places(site)
        n = len(self.places)
        self.debounce = Debounce(self.places)
        self.shown = np.zeros(n, np.bool_)
        """Value of the mirror: level reached (warning: or limit), trip active or latched."""
        self.pending = np.zeros(n, np.bool_)
        """Arisen and not acknowledged."""
        self.history = History(
            np.zeros(n, np.uint32),
            np.zeros(n, np.int64),
            np.zeros(n, np.int64),
            np.full(n, np.nan),
            np.full(n, np.nan),
            np.zeros(n, np.int64),
        )
        self._before = np.zeros(n, np.uint8)
        self._has_upper = np.flatnonzero(self.places.upper >= 0)
        self._located = np.flatnonzero(self.places.location >= 0)
        self.changed = True
        """Set by every transition, acknowledgement and reset; whoever publishes takes it back."""

    def step(self, now: Now, passed_s: float, gates: Flags, sample_times: SampleTimes | None = None) -> int:
        """Scan everything, record what has changed; the number of transitions."""
        columns = self._working.columns
        usable = ~quality.is_bad(columns["status"])
        violated = self.debounce.look(columns["value"], usable, gates)
        stamp = columns["source_time"][self.places.source]
        if sample_times is not None:
            self._stamp_cells(stamp, violated, sample_times)
        self.debounce.count(violated, stamp, gates, passed_s)
        self._follow_extremes()
        return self.record_changes(now)

    def _stamp_cells(self, stamp: NDArray[np.int64], violated: Flags, sample_times: SampleTimes) -> None:
        """The sample of an extreme is that of its cell: the rack's time moves on with the other cells."""
        at = self._located[violated[self._located] & (self.places.rack[self._located] >= 0)]
        if len(at):
            address = self._working.columns["value"][self.places.location[at]]
            known = np.nan_to_num(address).astype(np.int64)
            found = sample_times(self.places.source[at], self.places.rack[at], known)
            stamp[at] = np.where(found < 0, stamp[at], found)

    def _follow_extremes(self) -> None:
        """The worst value of a level while it is shown, and where it was."""
        debounce, past = self.debounce, self.history
        at = np.flatnonzero(self.shown & debounce.usable)
        if not len(at):
            return
        signed = debounce.measured[at]
        worse = at[~(signed <= past.extreme[at] * self.places.sign[at])]
        past.extreme[worse] = debounce.measured[worse] * self.places.sign[worse]
        self._locate(worse)

    def _locate(self, places: NDArray[np.int64]) -> None:
        at = places[self.places.location[places] >= 0]
        address = self._working.columns["value"][self.places.location[at]]
        self.history.location[at] = np.nan_to_num(address).astype(np.int64)

    def record_changes(self, now: Now, *, again: bool = False) -> int:
        """Turn what changed since the last call into records and into what is shown; the number of conditions.

        `again`: it is the replay of a change that has its record already.
        """
        self._show()
        key = self._key()
        changed = np.flatnonzero(key != self._before)
        if not len(changed):
            return 0
        conditions = np.unique(self.places.condition[changed])
        for index in conditions.tolist():
            condition = self.places.conditions[index]
            place = self._change(condition, now.utc_ns)
            if not again:
                self._pen.append(RecordKind.ALARM, self._record(condition, place), now)
        self._settle(key)
        return len(conditions)

    def _show(self) -> None:
        debounce, at = self.debounce, self._has_upper
        self.shown[:] = debounce.active | debounce.latched
        self.shown[at] |= debounce.active[self.places.upper[at]]

    def _key(self) -> NDArray[np.uint8]:
        debounce = self.debounce
        key = self.shown.astype(np.uint8)
        key |= debounce.active.astype(np.uint8) << np.uint8(1)
        key |= debounce.latched.astype(np.uint8) << np.uint8(2)
        return key

    def _settle(self, key: NDArray[np.uint8]) -> None:
        self._before = key
        self.changed = True

    def _change(self, condition: Condition, utc_ns: int) -> int:
        """Times, counts and pending acknowledgement of a condition's places; the place that the record is about."""
        past = self.history
        told = condition.places[0]
        for place in condition.places:
            was, shown = bool(self._before[place] & 1), bool(self.shown[place])
            if shown:
                told = place
            held = self._before[place] & 6 == 4  # latched, its cause gone
            again = bool(held and self.debounce.active[place])
            if shown and (not was or again):
                self.pending[place] = True
                past.count[place] += 1
                past.first_ns[place] = past.first_ns[place] or utc_ns
                past.value[place] = past.extreme[place] = self.debounce.measured[place] * self.places.sign[place]
                self._locate(np.array([place]))
            if shown != was or again:
                past.last_ns[place] = utc_ns
        return told

    def _record(self, condition: Condition, place: int) -> AlarmRecord:
        value = float(self.debounce.measured[place] * self.places.sign[place])
        shown = bool(self.shown[place])
        active = bool(self.debounce.active[place]) if condition.trip else shown
        return AlarmRecord(
            element=condition.element.name,
            alarm=condition.alarm.name,
            level=int(self.places.level[place]) if shown else 0,
            condition=condition.name,
            active=active,
            acked=not any(self.pending[p] for p in condition.places),
            latched=bool(self.debounce.latched[place]),
            value=None if np.isnan(value) else value,
            severity=int(self.places.severity[place]),
            count=int(self.history.count[place]),
            location=int(self.history.location[place]),
            text=condition.alarm.text,
        )

    # what people do

    def acknowledge(self, elements: Iterable[str], condition: str) -> int:
        """Acknowledge a condition (or ALL) of elements; how many conditions were pending."""
        names = set(elements)
        mine = [
            c
            for c in np.unique(self.places.condition[self.pending]).tolist()
            if self.places.conditions[c].element.name in names and condition in (ALL, self.places.conditions[c].name)
        ]
        for index in mine:
            self.pending[list(self.places.conditions[index].places)] = False
        self.changed = self.changed or bool(mine)
        return len(mine)

    def reset(self, elements: Iterable[str], now: Now, *, again: bool = False) -> int:
        """Unlatch the trips of elements whose cause has gone and that are acknowledged; how many."""
        names = set(elements)
        ready = np.flatnonzero(self.debounce.latched & ~self.debounce.active & ~self.pending)
        mine = [p for p in ready.tolist() if self.places.conditions[self.places.condition[p]].element.name in names]
        self.debounce.latched[mine] = False
        self.record_changes(now, again=again)
        return len(mine)

    def below(self, element: str) -> list[str]:
        """Ids of an element and of everything below it that has alarms."""
        prefix = f"{element}."
        names = (e.name for e in self.site.topology.elements if e.level is not Level.MODULE)
        return [name for name in names if name == element or name.startswith(prefix)]

    # what a restart takes over

    def replay_alarm(self, record: AlarmRecord, utc_ns: int) -> None:
        """Apply a transition of the log."""
        index = self.places.by_name.get((record.element, record.condition))
        if index is None:
            return
        condition = self.places.conditions[index]
        for place in condition.places:
            level = int(self.places.level[place])
            active = record.active if condition.trip else record.level == level
            self.debounce.restore(place, active=active, latched=record.latched and condition.trip)
        self._show()
        told = self._change(condition, utc_ns)
        if record.value is not None and self.shown[told]:
            self.history.value[told] = self.history.extreme[told] = record.value
            self.history.location[told] = record.location
        self._settle(self._key())

    def replay_acknowledge(self, record: AckRecord) -> None:
        """Apply an acknowledgement of the log."""
        everything = record.alarm == ALL
        names = self.below(record.element) if everything else [record.element]
        self.acknowledge(names, ALL if everything else record.condition)

    def latch_everything(self, now: Now) -> None:
        """The retained state is lost: every trip that latches counts as tripped until somebody has looked."""
        for place in np.flatnonzero(self.places.latching).tolist():
            self.debounce.restore(place, active=False, latched=True)
        self._show()
        for index in np.unique(self.places.condition[self.places.latching]).tolist():
            condition = self.places.conditions[index]
            record = self._record(condition, self._change(condition, now.utc_ns))
            self._pen.append(RecordKind.ALARM, msgspec.structs.replace(record, text=STATE_LOST), now)
        self._settle(self._key())

    def retained(self) -> dict[str, Any]:
        """What a restart needs of each place that is not as at the very first start; JSON-able."""
        past, debounce = self.history, self.debounce
        at = np.flatnonzero(self.shown | self.pending | (past.count > 0))
        return {
            self._name(place): [
                int(debounce.active[place]), int(debounce.latched[place]), int(self.pending[place]),
                int(past.count[place]), int(past.first_ns[place]), int(past.last_ns[place]),
                _number(past.value[place]), _number(past.extreme[place]), int(past.location[place]),
            ]
            for place in at.tolist()
        }  # fmt: skip

    def restore(self, retained: dict[str, Any]) -> None:
        """Take over what `retained` gave; places that the site no longer has are dropped."""
        places = {self._name(place): place for place in range(len(self.places))}
        past = self.history
        for name, entry in retained.items():
            place = places.get(name)
            if place is None:
                continue
            active, latched, pending, count, first_ns, last_ns, value, extreme, location = entry
            self.debounce.restore(place, active=bool(active), latched=bool(latched))
            self.pending[place] = bool(pending)
            past.count[place], past.first_ns[place], past.last_ns[place] = count, first_ns, last_ns
            past.value[place] = np.nan if value is None else value
            past.extreme[place] = np.nan if extreme is None else extreme
            past.location[place] = location
        self._show()
        self._settle(self._key())

    def _name(self, place: int) -> str:
        condition = self.places.conditions[self.places.condition[place]]
        return f"{condition.element.name}|{condition.alarm.name}|{self.places.level[place]}"

    def states(self) -> NDArray[np.uint8]:
        """AlarmState of each place."""
        active = self.debounce.active.copy()
        active[self._has_upper] |= self.debounce.active[self.places.upper[self._has_upper]]
        done = ~self.pending
        state = np.where(self.pending, int(AlarmState.RETURNED), int(AlarmState.NORMAL))
        state = np.where(
            self.shown, np.where(done, int(AlarmState.LATCHED_ACKNOWLEDGED), int(AlarmState.LATCHED)), state
        )
        state = np.where(active, np.where(done, int(AlarmState.ACTIVE_ACKNOWLEDGED), int(AlarmState.ACTIVE)), state)
        return state.astype(np.uint8)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
