"""Points that follow from an alarm: its Boolean mirrors and its thresholds.

`Alarms.<Alarm>` mirrors the activity of the condition `Conditions.<Alarm>`; beside a warning `Alarms.<Alarm>Limit` tells
whether the limit is reached; `Alarms.<Alarm>Trip` tells that the trip is active or latched. Their texts say what to do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from information_model.alarms.row import Alarm, AlarmLevel, Side, Step
from information_model.points.row import Aggregation, History, Level, Point, Producer
from information_model.roles import Role


@dataclass(frozen=True, slots=True)
class Mirror:
    """A Boolean point of an alarm: true while the level of `alarm` is at least `alarm_level` (a trip: active or latched)."""

    alarm: Alarm
    alarm_level: AlarmLevel
    point: Point

    @property
    def condition(self) -> str:
        """Name of the condition that the mirror belongs to."""
        beside_levels = self.alarm_level is AlarmLevel.TRIP and self.alarm.has_level_condition
        return f"{self.alarm.name}Trip" if beside_levels else self.alarm.name


def mirrors(alarm: Alarm) -> Iterator[Mirror]:
    """The Boolean points of an alarm, lowest level first."""
    text = alarm.text if alarm.text[1:2].isupper() else alarm.text[0].lower() + alarm.text[1:]
    text = f"{text} Remedy: {alarm.remedy}"
    if alarm.warning is not None and alarm.limit is not None:
        yield _mirror(alarm, AlarmLevel.WARNING, alarm.name, f"Warning or limit active: {text}")
        yield _mirror(alarm, AlarmLevel.LIMIT, f"{alarm.name}Limit", f"Limit active: {text}")
    elif alarm.warning is not None:
        yield _mirror(alarm, AlarmLevel.WARNING, alarm.name, f"Warning active: {text}")
    elif alarm.limit is not None:
        yield _mirror(alarm, AlarmLevel.LIMIT, alarm.name, f"Limit active: {text}")
    if alarm.trip is not None:
        name = f"{alarm.name}Trip" if alarm.has_level_condition else alarm.name
        yield _mirror(alarm, AlarmLevel.TRIP, name, f"Trip active or latched: {text}")


def _mirror(alarm: Alarm, alarm_level: AlarmLevel, name: str, text: str) -> Mirror:
    reference = alarm.iec61850_warning if alarm_level is AlarmLevel.WARNING else alarm.iec61850_alarm
    return Mirror(
        alarm,
        alarm_level,
        Point(
            alarm.level,
            f"Alarms.{name}",
            "Boolean",
            text=text,
            iec61850=reference,
            cdc="SPS" if reference else "",
            sunspec=alarm.sunspec,
        ),
    )


def thresholds(alarm: Alarm, sources: Mapping[tuple[Level, str], Point]) -> Iterator[tuple[AlarmLevel, Step, Point]]:
    """The thresholds of an alarm as configuration points, in the unit and range of its source; none for a digital one."""
    if alarm.side is Side.OFF_NORMAL:
        return
    source = sources[alarm.level, alarm.source]
    for alarm_level, step in alarm.steps():
        level = alarm_level.name.capitalize()
        yield (
            alarm_level,
            step,
            Point(
                alarm.level,
                f"Configuration.Thresholds.{alarm.name}{level}",
                "Double" if source.data_type == "Double" else "Float",
                text=f"The {alarm_level.name.lower()} threshold of the alarm {alarm.name}.",
                unit=source.unit,
                low=source.low,
                high=source.high,
                step=source.step,
                history=History.CHANGE,
                aggregation=Aggregation.STATE,
                producer=Producer.CONFIGURATION,
                iec61850=step.iec61850,
                cdc="ASG" if step.iec61850 else "",
                write_role=Role.ENGINEER,
            ),
        )
