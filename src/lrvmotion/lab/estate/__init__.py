"""An estate: the document of two vCenters that somebody else's program wrote, read by the lab's own code."""
