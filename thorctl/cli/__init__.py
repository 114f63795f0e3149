"""The command line: one module a verb. A verb parses, calls, returns a Result; only main prints."""
