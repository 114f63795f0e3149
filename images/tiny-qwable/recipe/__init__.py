"""How tiny-qwable is made: corpus, tokenizer, network. Standard library and PyYAML but for `network`."""
