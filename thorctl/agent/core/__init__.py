"""What every verb uses: arguments, dispatch, context, locks, events, files, programs, Docker."""
