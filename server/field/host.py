"""One adapter under the field process: made, run, and made again when it ends, whatever it does."""

import asyncio
import logging
import random
from collections.abc import Sequence

from adapters.api import Adapter, BusSpec, RackRequest, Sink
from adapters.back_off import BackOff
from adapters.errors import AdapterConfigurationError
from adapters.registry import create_adapter

log = logging.getLogger("gridbms.field")

HEALTHY_AFTER_S = 10.0


class BusHost:
    """Keeps the adapter of one bus running. A bus whose configuration is wrong stays absent: it cannot get better."""

    def __init__(self, spec: BusSpec, sink: Sink) -> None:
        self.spec, self._sink = spec, sink
        self._adapter: Adapter | None = None
        self._back_off = BackOff(random.Random())  # noqa: S311 - jitter needs no secrecy
        self._failed = False
        self._apply_failed = False

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                self._adapter = create_adapter(self.spec)
                recovery = loop.call_later(HEALTHY_AFTER_S, self._healthy)
                try:
                    await self._adapter.run(self._sink)
                finally:
                    recovery.cancel()
                reason = "the adapter ended by itself"
            except AdapterConfigurationError as error:
                log.error("bus %s stays absent: %s", self.spec.name, error)
                for number in range(len(self.spec.sources)):
                    self._sink.health(number).detail = "the configuration of the bus is wrong"
                return
            except Exception as error:  # noqa: BLE001 - an adapter is a plug-in; its faults end nothing but itself
                reason = repr(error)
            finally:
                self._adapter = None
            if loop.time() - begun >= HEALTHY_AFTER_S:
                self._back_off.reset()
            if not self._failed:
                log.error("bus %s: %s; the adapter is started again until it holds", self.spec.name, reason)
                self._failed = True
            await asyncio.sleep(self._back_off.next_pause_s())

    def _healthy(self) -> None:
        if self._failed:
            log.info("bus %s: the adapter holds again", self.spec.name)
            self._failed = False

    def apply(self, requests: Sequence[RackRequest]) -> None:
        """Hand the requests on; an adapter that is being restarted gets the next ones."""
        if self._adapter is None:
            return
        try:
            self._adapter.apply(requests)
        except Exception as error:  # noqa: BLE001 - as above; without requests the adapter asks for zero current itself
            if not self._apply_failed:
                log.error("bus %s: requests are not taken: %r", self.spec.name, error)
            self._apply_failed = True
        else:
            self._apply_failed = False
