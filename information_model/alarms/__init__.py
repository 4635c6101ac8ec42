"""The alarm tables: thresholds, delays, actions and texts, one row per alarm and level of the plant.

Every threshold is a proposal until the data sheet of the cell confirms it; the site file overrides each of them.
"""

from information_model.alarms import array, rack, system
from information_model.alarms.row import Action, Alarm, AlarmLevel, ConditionClass, Gate, Side, Step

TABLE: tuple[Alarm, ...] = (*system.ALARMS, *array.ALARMS, *rack.ALARMS)

__all__ = ["TABLE", "Action", "Alarm", "AlarmLevel", "ConditionClass", "Gate", "Side", "Step"]
