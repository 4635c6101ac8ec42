"""Who may connect and who a user is: policies, endpoints, certificates, passwords and tokens."""
