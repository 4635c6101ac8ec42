"""The archive: the one process that writes the store. Samples into chunks, the event log into journal and audit."""
