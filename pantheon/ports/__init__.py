"""One Protocol per seam between decisions and the world. No logic, no drivers."""
