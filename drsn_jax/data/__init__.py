"""From recordings to windows: real files and a simulated drivetrain."""
