"""What is claimed about speed and size, measured: ``python -m benchmarks`` prints one table."""
