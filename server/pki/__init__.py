"""Certificates and trust of the server: own certificate, trust list, rejected list, the files they live in."""
