"""The room that speaks gRPC and HTTP and owns the process: settings, logs, telemetry, supervisor, workers."""
