"""Events and plans in, screen or text out; nothing here decides anything."""
