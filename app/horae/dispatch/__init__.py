"""From a due row to a delivery: how many jobs of which lane (pure), then claim, publish, and take back what was refused."""
