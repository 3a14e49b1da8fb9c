"""What every role runs on: settings, the clock, the duty loop, logs and metrics. It knows nothing of jobs."""
