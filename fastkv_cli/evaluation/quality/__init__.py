"""Whether answers stay right: eval, calibrate, profile-heads."""
