"""Plant and core in simulated time: the code that runs a site, without sockets, faces and waiting."""
