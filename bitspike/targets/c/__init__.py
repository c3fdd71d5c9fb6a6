"""C99 of a network: a header and a source that compute its integers without allocation or dependency."""
