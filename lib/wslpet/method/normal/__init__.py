"""What is normal: the frame of the body and the atlas of normal uptake in it."""
