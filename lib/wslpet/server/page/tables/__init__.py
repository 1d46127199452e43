"""Tables and files to take home: burden, annotations."""
