"""The service sets of OPC 10000-4, one module each, and the table through which requests reach them."""
