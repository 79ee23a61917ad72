"""Images: the base, an algorithm's own, pushing them, and looking into them."""
