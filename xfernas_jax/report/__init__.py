"""The report of a study: one page, its pictures, and the data behind them."""
