"""What teachers say of rows, on disk or computed when asked."""
