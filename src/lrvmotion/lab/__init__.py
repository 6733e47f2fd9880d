"""The lab: simulated vCenters, hosts, a relay host and a bad circuit on one Linux machine.

A stranger to the product: it imports nothing of lrvmotion, and the product knows nothing of it.
"""
