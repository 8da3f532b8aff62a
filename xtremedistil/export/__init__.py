"""A student in the forms that people deploy, each compared with the Keras student on real rows."""
