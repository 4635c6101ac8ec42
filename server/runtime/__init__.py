"""What the processes of the server share: blocks, wake-up, event log, link, clock, retained state, health."""
