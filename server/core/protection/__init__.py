"""Protection: the alarm table evaluated over the whole site, and what its levels demand of the racks."""
