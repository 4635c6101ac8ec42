"""Estimation: binds the estimators to the working image, for racks, modules and the groups above them."""
