"""Training: the loop, its checkpoints, students, vocabularies, calibration. What a task learns, it says itself."""
