"""From a due row to a delivery: how many of which lane (pure), then claim, publish, take back what was refused."""
