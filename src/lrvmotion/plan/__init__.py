"""What would be changed and moved, in which order; the saved plan and what it rests on. Pure."""
