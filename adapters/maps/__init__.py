"""Device maps that come with the program: TOML and DBC, one pair per kind of device. `server.config.maps` finds them."""
