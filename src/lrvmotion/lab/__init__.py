"""The lab: simulated vCenters, hosts, a relay box and a bad circuit on one Linux machine.

A stranger to the product: it imports nothing of lrvmotion, and the product knows nothing of it.
"""
