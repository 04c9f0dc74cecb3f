"""A run against truth: scores, and the mistakes behind them."""
