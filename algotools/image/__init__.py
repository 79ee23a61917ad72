"""Container images: build the base and the image of an algorithm, push an image, and inspect one."""
