"""One campaign a file; each is a function that plays it in an empty folder and returns its result."""
