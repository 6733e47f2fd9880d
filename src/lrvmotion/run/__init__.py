"""The verbs: apply, prove, drive the moves, watch the relays, restore. Each states the Protocol that it needs."""
