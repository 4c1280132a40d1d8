"""When what happens: the order of events."""
