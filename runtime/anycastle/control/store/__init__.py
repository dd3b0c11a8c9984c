"""SQL and nothing else, one module per noun; `changes` is the transaction around writes."""
