"""The common base of all verbs: arguments, dispatch, context, locks, events, files, programs, Docker."""
