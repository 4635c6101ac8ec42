"""What the plant is: quantities, qualities, points, alarms, commands and topology. Pure data and rules, no I/O."""
