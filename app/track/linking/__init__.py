"""Which tracklets over all cameras show one person, decided offline from looks, times and places."""
