"""Redis hints: wake-ups that save a poll, and live events. It may vanish at any time and never holds truth."""
