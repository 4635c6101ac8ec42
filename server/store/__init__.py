"""The store: what of a site is kept, how it is coded, and how it is read. The archive process writes, everybody reads."""
