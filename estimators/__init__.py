"""Numbers from numbers: numpy only, vectorised over cells and racks, no clock, no catalogue, no I/O."""
