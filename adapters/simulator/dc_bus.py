"""The DC bus of one array and the converter on it: how racks in parallel share a current that obeys their limits."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adapters.simulator.rack import RackControl

Floats = NDArray[np.float64]

LAG_S = 0.1
"""Time constant of the converter: 95 % of a new limit within 0.3 s."""
_PRECHARGE_S, _BLEED_S = 0.12, 5.0
"""The bus capacitor through the precharge resistor, and through its own discharge resistor."""
_OFF_A = 0.05


class DcBus:
    """Racks `members` (ordinals) in parallel on one capacitor and one converter."""

    def __init__(self, members: Sequence[int], max_charge_a: Sequence[float], max_discharge_a: Sequence[float]) -> None:
        self.members = np.array(members)
        self._max_charge_a, self._max_discharge_a = np.array(max_charge_a), np.array(max_discharge_a)
        self.voltage_v = 0.0
        self.converter_a = 0.0

    def step(
        self,
        dt_s: float,
        share: float,
        controls: Sequence[RackControl],
        emf_v: Floats,
        resistance_ohm: Floats,
        current_a: Floats,
    ) -> None:
        """The next `dt_s` with `share` of the rated current asked for; writes `current_a` [racks] of its members.

        The converter keeps every closed rack inside the limits that the rack was commanded.
        """
        members = self.members
        own = [controls[number] for number in members.tolist()]
        closed = np.array([control.conducting for control in own])
        current_a[members] = 0.0
        if not closed.any():
            self.converter_a = 0.0
            source = next((n for n, control in zip(members.tolist(), own, strict=True) if control.precharging), None)
            target, tau = (float(emf_v[source]), _PRECHARGE_S) if source is not None else (0.0, _BLEED_S)
            self.voltage_v += (target - self.voltage_v) * -float(np.expm1(-dt_s / tau))
            return
        racks = members[closed]
        conductance = 1 / resistance_ohm[racks]
        split = conductance / conductance.sum()
        between_v = float(split @ emf_v[racks])
        circulating_a = (emf_v[racks] - between_v) * conductance
        self._follow(dt_s, share, closed, own, split, circulating_a)
        self.voltage_v = between_v - self.converter_a / float(conductance.sum())
        current_a[racks] = split * self.converter_a + circulating_a

    def _follow(
        self,
        dt_s: float,
        share: float,
        closed: NDArray[np.bool_],
        own: Sequence[RackControl],
        split: Floats,
        circulating_a: Floats,
    ) -> None:
        """Move towards what is asked, as far as no closed rack leaves its limits; what circulates it cannot help."""
        limits = np.array([control.limits_a for control in own])[closed]
        low = min(0.0, float(((-limits[:, 0] - circulating_a) / split).max()))
        high = max(0.0, float(((limits[:, 1] - circulating_a) / split).min()))
        rated = self._max_discharge_a if share > 0 else self._max_charge_a
        target = max(low, min(high, share * float(rated[closed].sum())))
        self.converter_a += (target - self.converter_a) * -float(np.expm1(-dt_s / LAG_S))
        if target == 0.0 and abs(self.converter_a) < _OFF_A:
            self.converter_a = 0.0
