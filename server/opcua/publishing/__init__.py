"""Publishing: what clients subscribed to is sampled when an image is published and sent as ready-made bytes."""
