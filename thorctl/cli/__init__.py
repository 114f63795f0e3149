"""The command line: one module per verb. A verb parses, calls, returns a Result; only main prints."""
