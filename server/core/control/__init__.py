"""Control: what is asked of the racks, and the state machines that follow what they really do."""
