"""Training: objectives, the loop, calibration, and labels made from other sources."""
