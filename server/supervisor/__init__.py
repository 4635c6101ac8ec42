"""Starts the processes of a site, watches them, restarts what dies and stops all of them in order."""
