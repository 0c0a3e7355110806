"""The chassis that every service stands on: settings, telemetry, lifecycle, doors, bus, stores."""
