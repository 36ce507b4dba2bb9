"""The work: queue, pipeline, engine adapter, image assembly, recovery, metrics."""
