"""What training and serving must compute the same way: pure functions from raw records to model input."""
