"""The safety core: the journal, its transitions, the deadline of a trial, switching and rollback."""
