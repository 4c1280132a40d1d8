"""What numbers say of models: intervals, tests, calibration, baselines."""
