"""What a model is worth, measured on drawn products that training never saw and on photographs."""
